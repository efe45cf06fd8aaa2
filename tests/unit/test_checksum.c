/* The checksum against the vectors of xxHash's own sanity check. */
#include "base/checksum.h"

#include "check_main.h"

#define SEED UINT64_C(0x9E3779B185EBCA8D)

START_TEST(known_answers)
{
    unsigned char bytes[2367];
    uint64_t state = 2654435761;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(state >> 56);
        state *= UINT64_C(11400714785074694797);
    }
    ck_assert_uint_eq(checksum_add(0, bytes, 0), UINT64_C(0x2D06800538D394C2));
    ck_assert_uint_eq(checksum_add(SEED, bytes, 0), UINT64_C(0xA8A6B918B2F0364A));
    ck_assert_uint_eq(checksum_add(0, bytes, 1), UINT64_C(0xC44BDFF4074EECDB));
    ck_assert_uint_eq(checksum_add(0, bytes, 2367), UINT64_C(0xCB37AEB9E5D361ED));
    ck_assert_uint_eq(checksum_add(SEED, bytes, 2367), UINT64_C(0xD2DB3415B942B42A));
}
END_TEST

START_TEST(every_bit_counts)
{
    unsigned char bytes[300] = {0};
    uint64_t sum = checksum_add(7, bytes, sizeof(bytes));

    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        ck_assert_uint_ne(checksum_add(7, bytes, sizeof(bytes)), sum);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    ck_assert_uint_ne(checksum_add(8, bytes, sizeof(bytes)), sum);
    ck_assert_uint_ne(checksum_add(7, bytes, sizeof(bytes) - 1), sum);
}
END_TEST

static Suite *checksum_suite(void)
{
    Suite *suite = suite_create("checksum");
    TCase *cases = tcase_create("checksum");

    tcase_add_test(cases, known_answers);
    tcase_add_test(cases, every_bit_counts);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(checksum_suite)
