/* Made by make_optimizers.py: weights after 100 updates of each optimizer. */
#define ORACLE_UPDATES  100
#define ORACLE_ELEMENTS 8
#define ORACLE_SAMPLES  32

static const struct oracle_case {
    const char *name;
    struct optimizer_spec spec;
    double weights[ORACLE_ELEMENTS];
} oracle_cases[] = {
    {"sgd, rate 0.01",
     {.type = OPTIMIZER_SGD, .learning_rate = 0.01},
     {0.24633789062499992, 0.4048242187499999, 0.700234375, 0.9956445312499997, 1.1541308593750004,
      1.449541015625, 1.744951171875, 1.9132177734375002}},
    {"sgd, rate 0.01, momentum 0.9",
     {.type = OPTIMIZER_SGD, .learning_rate = 0.01, .momentum = 0.9},
     {0.2183333342799516, -0.3510116126142356, 0.31222189480231105, 0.9754554022188571, 0.36907564222412936,
      1.0323091496406758, 1.695542657057222, 1.122076469510099}},
    {"sgd, rate 0.02, momentum 0.8, nesterov",
     {.type = OPTIMIZER_SGD, .learning_rate = 0.02, .momentum = 0.8, .nesterov = true},
     {0.2132368232981937, -0.4157405589827402, 0.2738297535202198, 0.9634000660231804, 0.30968567754678683,
      0.9992559900497461, 1.688826302552707, 1.109747812639238}},
    {"adam, Keras's defaults",
     {.type = OPTIMIZER_ADAM, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7},
     {0.24937382524220444, 0.47045036776362775, 0.7355291948553023, 1.0015085657715768, 1.220123728288478,
      1.4846820136650059, 1.750243775560786, 1.9672578179154299}},
    {"adam, large rate and epsilon",
     {.type = OPTIMIZER_ADAM, .learning_rate = 0.01, .beta_1 = 0.8, .beta_2 = 0.99, .epsilon = 1e-3},
     {0.24134662953294517, 0.19613440903992638, 0.5948605565231052, 1.0029920186330246, 0.9426194773661344,
      1.3365795026922405, 1.740948477494754, 1.6878823724247691}},
};
