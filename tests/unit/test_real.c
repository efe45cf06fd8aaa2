/* Real functions against long double (x86's has 64 bits of mantissa) and against their inverses. */
#include "math/real.h"

#include "check_main.h"

#include <float.h>
#include <math.h>

#include "math/philox.h"

static double relative_error(double got, long double expected)
{
    return expected == 0 ? fabs(got) : (double)fabsl((got - expected) / expected);
}

START_TEST(powers)
{
    ck_assert(real_power(0.9, 0) == 1.0);
    ck_assert(real_power(0.9, 1) == 0.9);
    ck_assert(real_power(2.0, 10) == 1024.0);
    ck_assert(real_power(-1.0, 3) == -1.0);
    ck_assert(real_power(0.5, 100000) == 0.0);
    ck_assert(real_power(1.0, UINT64_MAX) == 1.0);
    /* Squaring doubles a relative error: n roundings in the exponent's bits give about n * 2^-53. */
    for (uint64_t n = 1; n < 200000; n = n * 3 / 2 + 1)
        ck_assert(relative_error(real_power(0.999, n), powl((long double)0.999, (long double)n)) <
                  1.2e-16 * (double)(n + 1));
}
END_TEST

START_TEST(logarithms_of_all_sizes)
{
    double worst = 0;

    for (double x = DBL_MIN; x < 1e308; x *= 1.7)
        worst = fmax(worst, relative_error(real_log(x), logl(x)));
    for (double x = DBL_MAX; x > 1e-300; x *= 0.37)
        worst = fmax(worst, relative_error(real_log(x), logl(x)));
    ck_assert(worst < 2e-16);
    ck_assert(real_log(1.0) == 0.0);
}
END_TEST

/* Around 1, where the logarithm itself is small, and over the ends of the range of the mantissa. */
START_TEST(logarithms_near_one)
{
    double worst = 0;

    for (double distance = 0x1p-52; distance < 0.5; distance *= 1.01) {
        double above = 1.0 + distance, below = 1.0 - distance;

        worst = fmax(worst, relative_error(real_log(above), logl(above)));
        worst = fmax(worst, relative_error(real_log(below), logl(below)));
    }
    for (double x = 0.6; x < 1.6; x += 0x1p-14)
        worst = fmax(worst, relative_error(real_log(x), logl(x)));
    ck_assert(worst < 2e-16);
}
END_TEST

START_TEST(exponentials)
{
    double worst = 0;

    for (double x = -708; x < 709; x += 0.0137)
        worst = fmax(worst, relative_error(real_exp(x), expl(x)));
    for (double x = 1e-20; x < 1; x *= 1.003) {
        worst = fmax(worst, relative_error(real_exp(x), expl(x)));
        worst = fmax(worst, relative_error(real_exp(-x), expl(-x)));
    }
    ck_assert_msg(worst < 2e-16, "%g", worst);
    ck_assert(real_exp(0.0) == 1.0);
    ck_assert(real_exp(-1000.0) == 0.0);
    ck_assert(real_exp(-744.0) > 0.0);
    ck_assert(isinf(real_exp(1000.0)));
    ck_assert(isinf(real_exp(HUGE_VAL)));
    ck_assert(real_exp(-HUGE_VAL) == 0.0);
    ck_assert(isnan(real_exp(NAN)));
}
END_TEST

START_TEST(real_exponents)
{
    double worst = 0, worst_far = 0;

    for (double x = 1e-9; x < 1e9; x *= 1.13) {
        for (double y = -80; y < 80; y += 0.37) {
            long double expected = powl(x, y);
            double error = relative_error(real_raise(x, y), expected);

            if (expected > 1e-30L && expected < 1e30L)
                worst = fmax(worst, error);
            else if (expected > DBL_MIN && expected < 1e308L)
                worst_far = fmax(worst_far, error);
        }
    }
    for (double distance = 0x1p-40; distance < 0.5; distance *= 1.1) {
        for (double y = 0.01; y < 60 / distance; y *= 2.3) {
            worst_far = fmax(worst_far, relative_error(real_raise(1 - distance, y), powl(1 - distance, y)));
            worst = fmax(worst, relative_error(real_raise(1 + distance, 1.1 / distance),
                                               powl(1 + distance, 1.1 / distance)));
        }
    }
    ck_assert_msg(worst < 3e-16, "%g", worst);
    ck_assert_msg(worst_far < 3e-15, "%g", worst_far);
    ck_assert(real_raise(0.96, 0.0) == 1.0);
    ck_assert(real_raise(1.0, 1e300) == 1.0);
    ck_assert(real_raise(0.0, 0.5) == 0.0);
    ck_assert(real_raise(0.0, 0.0) == 1.0);
    ck_assert(real_raise(2.0, 10.0) == 1024.0);
    ck_assert(real_raise(0.5, 1e6) == 0.0);
}
END_TEST

START_TEST(cosines)
{
    const long double pi = acosl(-1.0L);
    double worst = 0;

    for (double x = 0; x < 0.4375; x += 0x1p-13)
        worst = fmax(worst, relative_error(real_cosine_pi(x), cosl(pi * x)));
    for (double distance = 0x1p-40; distance < 0.1; distance *= 1.01) /* about the zero at 1/2 */
        worst = fmax(worst, relative_error(real_cosine_pi(0.5 - distance),
                                           sinl(pi * (0.5L - (long double)(0.5 - distance)))));
    for (double x = 1e-9; x < 0.5; x *= 1.01)
        worst = fmax(worst, relative_error(real_cosine_pi(x), sinl(pi * (0.5L - (long double)x))));
    ck_assert_msg(worst < 3e-16, "%g", worst);
    ck_assert(real_cosine_pi(0.0) == 1.0);
    ck_assert(real_cosine_pi(0.5) == 0.0);
    ck_assert(real_cosine_pi(1.0) == -1.0);
    ck_assert(real_cosine_pi(2.0) == 1.0);
    for (double x = 0; x < 1; x += 0x1p-10) {
        ck_assert(real_cosine_pi(1 - x) == -real_cosine_pi(x));
        ck_assert(real_cosine_pi(-x) == real_cosine_pi(x));
        ck_assert(real_cosine_pi(x + 1234) == real_cosine_pi(x));
    }
}
END_TEST

/* Bits, which no machine may change. */
START_TEST(bits_are_the_same_everywhere)
{
    ck_assert(real_exp(1.0) == 0x1.5bf0a8b14576ap+1);
    ck_assert(real_raise(0.96, 0.37) == 0x1.f853258070b56p-1);
    ck_assert(real_cosine_pi(0.1) == 0x1.e6f0e134454ffp-1);
}
END_TEST

/* The distribution function by way of libm, whose long double is exact enough to judge by. */
static long double normal_lower_tail(long double x)
{
    return erfcl(-x / sqrtl(2.0L)) / 2;
}

/* dp = density(x) dx, so p's relative error over p's sensitivity to x gives the error of x. */
static double quantile_error(double p)
{
    long double x = real_normal_quantile(p), density = expl(-x * x / 2) / sqrtl(2 * acosl(-1.0L));
    long double difference = (normal_lower_tail(x) - (long double)p) / density;

    return x == 0 ? (double)fabsl(difference) : (double)fabsl(difference / x);
}

START_TEST(quantiles_of_small_probabilities)
{
    double worst = 0;

    for (double p = 0x1p-53; p < 0.5; p *= 1.003)
        worst = fmax(worst, quantile_error(p));
    for (double p = 1e-300; p < 1e-17; p *= 1.9)
        worst = fmax(worst, quantile_error(p));
    ck_assert(worst < 2e-15);
}
END_TEST

START_TEST(quantiles_are_odd_about_the_middle)
{
    struct philox philox = philox_for(1, PHILOX_INITIAL_WEIGHTS);

    ck_assert(real_normal_quantile(0.5) == 0.0);
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t words[4];
        double p;

        philox_words(philox, (const uint32_t[]){i, 0, 0, 0}, words);
        p = (double)(words[0] | 1) * 0x1p-32; /* 1 - p is exact */
        ck_assert(real_normal_quantile(p) == -real_normal_quantile(1.0 - p));
        ck_assert(quantile_error(p) < 2e-15 || fabs(p - 0.5) < 1e-4);
    }
}
END_TEST

START_TEST(quantiles_of_the_ends_are_finite)
{
    ck_assert(isfinite(real_normal_quantile(philox_unit_double(0, 0))));
    ck_assert(isfinite(real_normal_quantile(philox_unit_double(UINT32_MAX, UINT32_MAX))));
}
END_TEST

static Suite *real_suite(void)
{
    Suite *suite = suite_create("real");
    TCase *cases = tcase_create("real");

    tcase_add_test(cases, powers);
    tcase_add_test(cases, logarithms_of_all_sizes);
    tcase_add_test(cases, logarithms_near_one);
    tcase_add_test(cases, exponentials);
    tcase_add_test(cases, real_exponents);
    tcase_add_test(cases, cosines);
    tcase_add_test(cases, bits_are_the_same_everywhere);
    tcase_add_test(cases, quantiles_of_small_probabilities);
    tcase_add_test(cases, quantiles_are_odd_about_the_middle);
    tcase_add_test(cases, quantiles_of_the_ends_are_finite);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(real_suite)
