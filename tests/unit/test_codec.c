/* Codecs: arguments. */
#include "codec/codec.h"

#include "check_main.h"

START_TEST(defaults_are_allowed)
{
    for (int type = 0; type < CODEC_COUNT; type++) {
        struct codec_spec spec = codec_spec_default((enum codec_type)type);

        ck_assert_ptr_nonnull(codec_name(spec.type));
        ck_assert_int_eq(codec_spec_check(&spec, NULL), CAIRN_OK);
    }
    ck_assert_ptr_null(codec_name(CODEC_COUNT));
    ck_assert_str_eq(codec_name(CODEC_TOP_K), "top_k");
}
END_TEST

static void assert_refused(struct codec_spec spec, const char *message)
{
    struct error error = {0};

    ck_assert_int_eq(codec_spec_check(&spec, &error), CAIRN_INVALID);
    ck_assert_str_eq(error.message, message);
}

START_TEST(arguments_have_bounds)
{
    assert_refused((struct codec_spec){.type = CODEC_INT8, .block = 0},
                   "an int8 block of 0 is not a power of two from 16 to 1024");
    assert_refused((struct codec_spec){.type = CODEC_INT8, .block = 48},
                   "an int8 block of 48 is not a power of two from 16 to 1024");
    assert_refused((struct codec_spec){.type = CODEC_INT8, .block = 2048},
                   "an int8 block of 2048 is not a power of two from 16 to 1024");
    assert_refused((struct codec_spec){.type = CODEC_TOP_K, .share = 0},
                   "a top_k share of 0 is not in (0, 1]");
    assert_refused((struct codec_spec){.type = CODEC_TOP_K, .share = 1.5},
                   "a top_k share of 1.5 is not in (0, 1]");
    assert_refused((struct codec_spec){.type = CODEC_COUNT}, "codec 5 is not known");
    assert_refused((struct codec_spec){.type = CODEC_INT8, .block = 64, .rounding = 2},
                   "rounding 2 is not known");
}
END_TEST

static Suite *codec_suite(void)
{
    Suite *suite = suite_create("codec");
    TCase *cases = tcase_create("codec");

    tcase_add_test(cases, defaults_are_allowed);
    tcase_add_test(cases, arguments_have_bounds);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(codec_suite)
