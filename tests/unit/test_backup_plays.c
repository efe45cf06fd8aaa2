/* Workers that stand still at random moments, for random times: whoever computes what, and whoever comes
 * late, the model is bit for bit that of an undisturbed training (--kills 300 --seed S for more plays). */
#include "base/log.h"
#include "held_cluster.h"
#include "kill_main.h"

#ifdef __SANITIZE_THREAD__
static int plays = 1;
#elif defined(__SANITIZE_ADDRESS__)
static int plays = 2;
#else
static int plays = 4; /* of a variant */
#endif
static uint64_t seed;

static uint64_t draw(uint64_t *random, uint64_t below)
{
    return mix64(*random += MIX64_STEP) % below;
}

/* Two of them stand still and go on at random moments, some just when others have begun to help. */
static void play(const char *codec, uint64_t random, const char *expected)
{
    struct cluster *cluster = open_cluster(codec, "1", 1 + (uint32_t)draw(&random, 3));

    hold_after(0, draw(&random, 4 * STEP_OPERATIONS) + 6 * STEP_OPERATIONS);
    hold_after(1, draw(&random, 4 * STEP_OPERATIONS) + 6 * STEP_OPERATIONS);
    start_some_held(cluster, 1 + (uint32_t)draw(&random, 2));
    begin_epoch(cluster, 0, STEPS, "");
    while (!all_ended(cluster)) {
        uint32_t index = (uint32_t)draw(&random, 2);

        hear_for(cluster, (long)draw(&random, 60));
        if (hold_holds(index) && draw(&random, 3) == 0) {
            hold_let_go(index);
            hold_after(index, draw(&random, 2 * STEP_OPERATIONS));
        }
        if (has_ended(cluster, 2)) { /* with them all */
            hold_let_go(0);
            hold_let_go(1);
        }
    }
    expect_end(cluster, STEPS);
    ck_assert_msg(strcmp(cluster->heard[0].end.model_hash, expected) == 0, "another model by seed %" PRIu64,
                  random);
    close_cluster(cluster);
}

START_TEST(the_model_does_not_show_who_stood_still)
{
    char expected[HASH_TEXT_BYTES];

    undisturbed(codecs[_i], expected);
    for (int i = 0; i < plays; i++)
        play(codecs[_i], mix64(seed + (uint64_t)_i * 1000000 + (uint64_t)i), expected);
}
END_TEST

int main(int count, char **arguments)
{
    struct kill_program program = {.suite = "backup_plays",
                                   .test = the_model_does_not_show_who_stood_still,
                                   .variants = CODECS,
                                   .kills_help = "plays in all",
                                   .base_seconds = 120,
                                   .seconds_a_kill = 20,
                                   .kills = &plays,
                                   .seed = &seed};

    log_init(LOG_LEVEL_ERROR, "test_backup_plays");
    return kill_main(count, arguments, &program);
}
