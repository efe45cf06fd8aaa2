/* SHA-256 against the examples of FIPS 180-4. */
#include "base/hash.h"

#include "check_main.h"

#include <string.h>

static void assert_hash(const char *const *pieces, size_t count, const char *expected)
{
    struct hash hash;
    char text[HASH_TEXT_BYTES];

    hash_init(&hash);
    for (size_t i = 0; i < count; i++)
        hash_update(&hash, pieces[i], strlen(pieces[i]));
    hash_text(&hash, text);
    ck_assert_str_eq(text, expected);
}

START_TEST(known_answers)
{
    assert_hash(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hash((const char *[]){"abc"}, 1,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hash((const char *[]){"a", "", "bc"}, 3,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

static Suite *hash_suite(void)
{
    Suite *suite = suite_create("hash");
    TCase *cases = tcase_create("hash");

    tcase_add_test(cases, known_answers);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(hash_suite)
