/* The names of a model's parts. */
#include "check_main.h"
#include "model/spec.h"

#include <string.h>

START_TEST(names_are_keras_names)
{
    ck_assert_str_eq(layer_type_name(LAYER_MAX_POOLING2D), "max_pooling2d");
    ck_assert_str_eq(layer_class_name(LAYER_MAX_POOLING2D), "MaxPooling2D");
    ck_assert_str_eq(activation_name(ACTIVATION_GELU), "gelu");
    ck_assert_str_eq(padding_name(PADDING_SAME), "same");
    ck_assert_str_eq(initializer_name(INITIALIZER_GLOROT_UNIFORM), "glorot_uniform");
    ck_assert_str_eq(loss_name(LOSS_BINARY_CROSSENTROPY), "binary_crossentropy");
    ck_assert_str_eq(metric_name(METRIC_ACCURACY), "accuracy");
    for (int type = 0; type < LAYER_TYPE_COUNT; type++)
        ck_assert_ptr_nonnull(layer_class_name((enum layer_type)type));
}
END_TEST

START_TEST(numbers_outside_have_no_name)
{
    ck_assert_ptr_null(layer_type_name(LAYER_TYPE_COUNT));
    ck_assert_ptr_null(layer_class_name((enum layer_type) - 1));
    ck_assert_ptr_null(activation_name(ACTIVATION_COUNT));
    ck_assert_ptr_null(padding_name((enum padding) - 1));
    ck_assert_ptr_null(initializer_name((enum initializer)1000));
    ck_assert_ptr_null(loss_name(LOSS_COUNT));
    ck_assert_ptr_null(metric_name(METRIC_COUNT));
}
END_TEST

START_TEST(layers_are_named_as_keras_does)
{
    struct layer_spec layers[5] = {{.type = LAYER_CONV2D},
                                   {.type = LAYER_DENSE},
                                   {.type = LAYER_DENSE, .name = "logits"},
                                   {.type = LAYER_CONV2D},
                                   {.type = LAYER_DENSE}};
    struct model_spec spec = {.layer_count = 5, .layers = layers};

    model_spec_name_layers(&spec);
    ck_assert_str_eq(layers[0].name, "conv2d");
    ck_assert_str_eq(layers[1].name, "dense");
    ck_assert_str_eq(layers[2].name, "logits");
    ck_assert_str_eq(layers[3].name, "conv2d_1");
    ck_assert_str_eq(layers[4].name, "dense_1");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("spec");
    TCase *names = tcase_create("names");

    tcase_add_test(names, names_are_keras_names);
    tcase_add_test(names, numbers_outside_have_no_name);
    tcase_add_test(names, layers_are_named_as_keras_does);
    suite_add_tcase(suite, names);
    return suite;
}

CHECK_MAIN(make_suite)
