/* Rounds of norms: which version's they are, the factors that they end with, and what goes with a piece. */
#include "check_main.h"
#include "norm_rounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECES 2

static const struct optimizer_spec clips = {.type = OPTIMIZER_SGD, .global_clipnorm = 1.0};
static const struct optimizer_spec both = {.type = OPTIMIZER_LAMB, .clipnorm = 1.0};

static struct norm_rounds *new_at(const struct optimizer_spec *spec, uint64_t version)
{
    const struct norm_params params = {.spec = spec, .piece_count = PIECES, .apart = 1};
    struct norm_rounds *rounds = norm_rounds_new(&params, version);

    ck_assert_ptr_nonnull(rounds);
    return rounds;
}

/* All pieces' parts of the round at hand, of squares that a version and a round have. */
static void end_round(struct norm_rounds *rounds, uint64_t version)
{
    for (uint32_t piece = 0; piece < PIECES; piece++) {
        const struct optimizer_squares squares = {(double)(version + 1) * 2, 0.5};

        norm_rounds_begin(rounds, piece);
        if (norm_rounds_is_trust(rounds))
            norm_rounds_add_trust(rounds, 0, &squares);
        else
            norm_rounds_add_gradient(rounds, 0, (double)(version + 1) * 8);
        norm_rounds_give(rounds);
    }
    ck_assert(norm_rounds_settle(rounds));
    ck_assert(!norm_rounds_settle(rounds));
}

static void check_factors(const struct norm_rounds *rounds, uint64_t version)
{
    double squares = (double)(version + 1) * 16;

    ck_assert(norm_rounds_ready(rounds, version));
    ck_assert(!norm_rounds_ready(rounds, version + 1) &&
              (version == 0 || !norm_rounds_ready(rounds, version - 1)));
    ck_assert(norm_rounds_scale(rounds, 0) == (float)(1.0 / sqrt(squares)));
}

START_TEST(versions_follow_each_other)
{
    struct norm_rounds *rounds = new_at(&clips, 3), *lamb = new_at(&both, 3);

    for (uint64_t version = 3; version < 6; version++) {
        ck_assert(norm_rounds_is_at(rounds, version) && norm_rounds_is_at(lamb, version));
        ck_assert(!norm_rounds_is_at(rounds, version + 1) && !norm_rounds_is_at(lamb, version - 1));
        ck_assert(norm_rounds_is_first(lamb) && !norm_rounds_is_trust(lamb));
        end_round(rounds, version);
        end_round(lamb, version);
        ck_assert(norm_rounds_is_at(lamb, version) && !norm_rounds_ready(lamb, version));
        ck_assert(!norm_rounds_is_first(lamb) && norm_rounds_is_trust(lamb));
        end_round(lamb, version);
        check_factors(rounds, version);
        check_factors(lamb, version);
        ck_assert(norm_rounds_trust(lamb, 0) == (float)(sqrt((double)(version + 1) * 4) / sqrt(1.0)));
    }
    norm_rounds_free(rounds);
    norm_rounds_free(lamb);
    norm_rounds_free(NULL);
}
END_TEST

/* Owns: the caller. */
static void *known_of(const struct norm_rounds *rounds, size_t *bytes)
{
    void *known;

    *bytes = norm_rounds_known_bytes(rounds);
    known = malloc(*bytes ? *bytes : 1);
    ck_assert_ptr_nonnull(known);
    norm_rounds_tell_known(rounds, known);
    return known;
}

/* One that comes new is where the one is that a piece is from, also between two rounds, and can tell others
 * as much. */
START_TEST(what_goes_with_a_piece_is_all_that_is_needed)
{
    for (uint32_t more = 0; more <= 2; more++) {
        struct norm_rounds *from = new_at(&both, 5), *to = new_at(&both, 2), *third = new_at(&both, 0);
        size_t bytes;
        void *known = known_of(from, &bytes);

        ck_assert_uint_eq(bytes, 0); /* it has just begun */
        free(known);
        for (uint64_t round = 0; round < 2 + more; round++)
            end_round(from, 5 + round / 2);
        known = known_of(from, &bytes);
        ck_assert(norm_rounds_are_known(to, 6, known, bytes));
        ck_assert(norm_rounds_take_known(to, 6, known, bytes));
        if (more != 1)
            check_factors(to, 5 + more / 2);
        ck_assert_uint_eq(exchange_number(norm_rounds_exchange(to)), 12 + more);
        ck_assert(!norm_rounds_take_known(to, 6, known, bytes)); /* known already */
        free(known);
        known = known_of(to, &bytes);
        ck_assert_uint_gt(bytes, 0);
        ck_assert(norm_rounds_take_known(third, 6, known, bytes));
        ck_assert_uint_eq(exchange_number(norm_rounds_exchange(third)), 12 + more);
        free(known);
        norm_rounds_free(from);
        norm_rounds_free(to);
        norm_rounds_free(third);
    }
}
END_TEST

/* Without it the next round can be gone through all the same, but what is passed over is not known. */
START_TEST(who_knows_nothing_begins_with_the_piece)
{
    struct norm_rounds *rounds = new_at(&both, 2);

    ck_assert(norm_rounds_take_known(rounds, 7, NULL, 0));
    ck_assert(norm_rounds_is_at(rounds, 7));
    ck_assert(!norm_rounds_ready(rounds, 6));
    ck_assert_uint_eq(norm_rounds_known_bytes(rounds), 0);
    end_round(rounds, 7);
    end_round(rounds, 7);
    check_factors(rounds, 7);
    norm_rounds_free(rounds);
}
END_TEST

START_TEST(foreign_totals_are_refused)
{
    struct norm_rounds *from = new_at(&both, 5), *to = new_at(&both, 5);
    uint64_t *known;
    size_t bytes, words;

    end_round(from, 5);
    end_round(from, 5);
    known = known_of(from, &bytes);
    words = bytes / 8 / 2; /* of each */
    ck_assert(norm_rounds_are_known(to, 5, known, bytes) && norm_rounds_are_known(to, 6, known, bytes));
    ck_assert(norm_rounds_are_known(to, 6, known, bytes / 2) && norm_rounds_are_known(to, 6, NULL, 0));
    ck_assert(!norm_rounds_are_known(to, 4, known, bytes) && !norm_rounds_are_known(to, 7, known, bytes));
    ck_assert(!norm_rounds_are_known(to, 5, known, bytes - 8));
    known[words]++; /* one is left out */
    ck_assert(!norm_rounds_are_known(to, 6, known, bytes));
    known[words]--;
    known[1] = 0; /* a part, no total */
    ck_assert(!norm_rounds_are_known(to, 5, known, bytes));
    known[1] = PIECES;
    known[2] = UINT64_MAX; /* a limb below zero */
    ck_assert(!norm_rounds_are_known(to, 5, known, bytes));
    known[0] = UINT64_MAX;
    ck_assert(!norm_rounds_are_known(to, 0, known, bytes / 2));
    free(known);
    norm_rounds_free(from);
    norm_rounds_free(to);
}
END_TEST

static Suite *norm_rounds_suite(void)
{
    Suite *suite = suite_create("norm_rounds");
    TCase *tests = tcase_create("norm_rounds");

    tcase_add_test(tests, versions_follow_each_other);
    tcase_add_test(tests, what_goes_with_a_piece_is_all_that_is_needed);
    tcase_add_test(tests, who_knows_nothing_begins_with_the_piece);
    tcase_add_test(tests, foreign_totals_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(norm_rounds_suite)
