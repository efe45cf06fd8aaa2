/* Workers that come, go, die and lose their connections while they train, against real shard threads:
 * whatever happens, the model is bit for bit that of an undisturbed training (--kills 300 --seed S for more
 * plays). */
#include "base/log.h"
#include "kill_main.h"
#include "step_cluster.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define STEPS       24
#define PLAY_ACTS   6
#define DESCRIPTORS 1024

#ifdef __SANITIZE_THREAD__ /* some twenty times slower */
static int plays = 1;
#else
static int plays = 4; /* of a variant */
#endif
static uint64_t seed;

/* What each variant of the test trains with. The second carries weights as well. */
/* As it is, rounded both ways, and gradients alone; for threads the last is as the second. */
static const char *const codecs[] = {
    "",
    "  codec: bfloat16\n",
#ifndef __SANITIZE_THREAD__
    "  codec: int8\n",
#endif
};

struct play {
    struct cluster cluster;
    uint64_t random;
    uint32_t lanes;
    bool has_work[NODES_MAX]; /* in the newest epoch */
    bool votes;               /* a stop was asked for */
    uint64_t final_step;
    char log[1024]; /* what was done, for people */
};

static uint64_t draw(struct play *play, uint64_t below)
{
    return mix64(play->random += MIX64_STEP) % below;
}

static void note(struct play *play, const char *format, unsigned number)
{
    size_t length = strlen(play->log);

    snprintf(play->log + length, sizeof(play->log) - length, format, number);
}

/* ---- what may be seen */

/* Workers never fail, and all ends are one. */
static void look(struct play *play)
{
    struct cluster *cluster = &play->cluster;

    for (uint32_t i = 0; i < cluster->worker_count; i++) {
        const struct heard *heard = &cluster->heard[i];

        ck_assert_msg(heard->failed == 0 && heard->not_finite == 0, "worker %u: %s;%s", i, heard->end.message,
                      play->log);
        ck_assert_msg(heard->reached == 0 || play->votes || heard->end.figures.step == STEPS,
                      "worker %u reached step %u;%s", i, (unsigned)heard->end.figures.step, play->log);
        /* the coordinator knows that training was stopped there */
        if (heard->reached && heard->end.figures.step < play->final_step)
            play->final_step = heard->end.figures.step;
    }
}

/* Lets some time pass: a random moment is what this is about. */
static void pass(struct play *play)
{
    uint64_t reports = draw(play, 6);

    for (uint64_t i = 0; i < reports; i++) {
        if (!hear_for(&play->cluster, (long)draw(play, 12)))
            break;
        look(play);
    }
}

/* ---- what may happen */

static bool is_live(const struct play *play, uint32_t worker)
{
    return worker < play->cluster.worker_count && play->cluster.workers[worker] != NULL;
}

static uint32_t live_count(const struct play *play)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < play->cluster.worker_count; i++)
        count += is_live(play, i);
    return count;
}

static void join(struct play *play)
{
    struct cluster *cluster = &play->cluster;
    uint32_t place = 0;

    while (is_live(play, place))
        place++;
    if (place >= NODES_MAX - 2)
        return;
    if (place == cluster->worker_count)
        cluster->worker_count++;
    note(play, " join %u", place);
    start_worker(cluster, place, play->lanes, make_ref);
    play->has_work[place] = false;
    while (cluster->heard[place].prepared == 0) {
        hear(cluster);
        look(play);
    }
    if (play->votes)
        tell(cluster, place, STEP_VOTE);
}

static void kill_one(struct play *play)
{
    uint32_t worker = (uint32_t)draw(play, NODES_MAX);

    if (!is_live(play, worker))
        return;
    note(play, " kill %u", worker);
    stop_worker(&play->cluster, worker);
    play->has_work[worker] = false;
}

/* Cuts all connections to a shard, whichever end they are found by. */
static void cut(struct play *play)
{
    uint32_t shard = (uint32_t)draw(play, play->cluster.shard_count);
    int port = atoi(strrchr(play->cluster.shard_params[shard].bound, ':') + 1);

    note(play, " cut %u", shard);
    for (int i = 0; i < DESCRIPTORS; i++) {
        struct sockaddr_in peer;
        socklen_t length = sizeof(peer);

        if (getpeername(i, (struct sockaddr *)&peer, &length) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == port)
            (void)shutdown(i, SHUT_RDWR);
    }
}

/* Some of the live workers in random order, with random spans, some of which are empty. */
static void make_random_epoch(struct play *play, bool is_empty)
{
    struct cluster *cluster = &play->cluster;
    uint32_t begin = 0, chosen = 0, last = 0, skip = (uint32_t)draw(play, NODES_MAX);

    make_epoch(cluster, 0, play->final_step, "");
    memset(play->has_work, 0, sizeof(play->has_work));
    for (uint32_t i = 0; i < NODES_MAX && !is_empty; i++) {
        uint32_t worker = (i + skip) % NODES_MAX;

        if (!is_live(play, worker) || draw(play, 4) == 0)
            continue;
        cluster->worker_names[chosen] = cluster->names[worker];
        cluster->spans[chosen].begin = begin;
        begin += (uint32_t)draw(play, FIXTURE_MICROBATCHES + 1 - begin);
        cluster->spans[chosen].end = begin;
        play->has_work[worker] = cluster->spans[chosen].begin < begin;
        last = worker;
        chosen++;
    }
    if (chosen > 0) {
        cluster->spans[chosen - 1].end = FIXTURE_MICROBATCHES;
        play->has_work[last] = cluster->spans[chosen - 1].begin < FIXTURE_MICROBATCHES;
    }
    cluster->epoch.n_workers = cluster->epoch.n_spans = chosen;
}

/* Each worker hears of an epoch when it does. */
static void tell_all(struct play *play)
{
    uint32_t skip = (uint32_t)draw(play, NODES_MAX);

    for (uint32_t i = 0; i < NODES_MAX; i++) {
        uint32_t worker = (i + skip) % NODES_MAX;

        if (!is_live(play, worker))
            continue;
        tell(&play->cluster, worker, STEP_ORDERS);
        if (draw(play, 3) == 0)
            pass(play);
    }
}

static void change_epoch(struct play *play, bool is_empty)
{
    if (live_count(play) == 0)
        join(play);
    do
        make_random_epoch(play, is_empty);
    while (!is_empty && play->cluster.epoch.n_workers == 0);
    note(play, is_empty ? " empty %u" : " epoch of %u", (unsigned)play->cluster.epoch.n_workers);
    tell_all(play);
}

static void ask_to_stop(struct play *play)
{
    note(play, " stop%.0u", 0);
    play->votes = true;
    for (uint32_t i = 0; i < play->cluster.worker_count; i++) {
        if (is_live(play, i))
            tell(&play->cluster, i, STEP_VOTE);
    }
}

static void act(struct play *play)
{
    switch (draw(play, 6)) {
    case 0:
        kill_one(play);
        pass(play); /* the others wait for what it has not pushed */
        break;
    case 1:
        join(play);
        break;
    case 2:
        change_epoch(play, true);
        pass(play);
        break;
    case 3:
        cut(play);
        pass(play);
        return;
    case 4:
        kill_one(play);
        join(play);
        break;
    default:
        break;
    }
    change_epoch(play, false);
    pass(play);
}

static bool all_have_ended(const struct play *play)
{
    for (uint32_t i = 0; i < play->cluster.worker_count; i++) {
        if (play->has_work[i] && play->cluster.heard[i].reached == 0)
            return false;
    }
    return true;
}

static void play_out(struct play *play)
{
    while (!all_have_ended(play)) {
        ck_assert_msg(hear_for(&play->cluster, DEADLINE_MS), "all wait;%s", play->log);
        look(play);
    }
}

/* The end of those that had work, the same for all. */
static const struct step_report *end_of(const struct play *play)
{
    const struct step_report *end = NULL;

    for (uint32_t i = 0; i < play->cluster.worker_count; i++) {
        const struct heard *heard = &play->cluster.heard[i];

        if (!is_live(play, i) || heard->reached == 0)
            continue;
        if (!end)
            end = &heard->end;
        ck_assert_msg(heard->end.figures.step == end->figures.step &&
                          strcmp(heard->end.model_hash, end->model_hash) == 0,
                      "worker %u ends elsewhere;%s", i, play->log);
    }
    ck_assert_msg(end != NULL, "nobody ended;%s", play->log);
    return end;
}

/* ---- whole plays */

static struct play *open_play(const char *codec, uint32_t shards, uint64_t random)
{
    struct play *play = calloc(1, sizeof(*play));

    ck_assert_ptr_nonnull(play);
    cluster_open(&play->cluster, shards, "{adam: {learning_rate: 0.01}}", codec);
    set_steps(&play->cluster, STEPS);
    play->random = random;
    play->lanes = 1 + (uint32_t)draw(play, 2);
    play->final_step = STEPS;
    return play;
}

static void close_play(struct play *play)
{
    cluster_close(&play->cluster);
    free(play);
}

/* What one worker makes when nothing happens. */
static void undisturbed(const char *codec, struct step_report *end)
{
    struct play *play = open_play(codec, 1, 0);

    join(play);
    change_epoch(play, false);
    play_out(play);
    *end = *end_of(play);
    ck_assert_uint_eq(end->figures.step, STEPS);
    close_play(play);
}

/* What was stopped is taken up again by the next incarnation, by one worker that nothing disturbs. */
static void train_the_rest(struct play *play, uint64_t stopped)
{
    struct cluster *cluster = &play->cluster;

    stop_workers(cluster);
    commit_shards(cluster, stopped);
    make_prepare(cluster, 2, stopped);
    prepare_shards(cluster);
    start_workers(cluster, 1, 2, make_ref);
    train(cluster, stopped, STEPS, "");
    expect_end(cluster, STEPS);
}

static void play_once(const char *codec, uint64_t random, const char *expected)
{
    struct play *play = open_play(codec, 1 + (uint32_t)(random % 3), random);
    uint64_t workers = 1 + draw(play, 4), acts = draw(play, PLAY_ACTS + 1), stops_after = draw(play, 12);
    const struct step_report *end;

    for (uint64_t i = 0; i < workers; i++)
        join(play);
    change_epoch(play, false);
    for (uint64_t i = 0; i < acts; i++) {
        act(play);
        if (i == stops_after)
            ask_to_stop(play);
    }
    if (live_count(play) == 0 || play->cluster.epoch.n_workers == 0)
        change_epoch(play, false);
    play_out(play);
    end = end_of(play);
    if (end->figures.step < STEPS) {
        train_the_rest(play, end->figures.step);
        end = &play->cluster.heard[0].end;
    }
    ck_assert_msg(strcmp(end->model_hash, expected) == 0, "another model;%s", play->log);
    close_play(play);
}

START_TEST(the_model_does_not_show_what_happened)
{
    struct step_report expected;

    undisturbed(codecs[_i], &expected);
    for (int i = 0; i < plays; i++) {
        uint64_t random = mix64(seed + (uint64_t)_i * 1000000 + (uint64_t)i);

        play_once(codecs[_i], random, expected.model_hash);
    }
}
END_TEST

int main(int count, char **arguments)
{
    struct kill_program program = {.suite = "elastic",
                                   .test = the_model_does_not_show_what_happened,
                                   .variants = sizeof(codecs) / sizeof(codecs[0]),
                                   .kills_help = "plays in all",
                                   .base_seconds = 120,
                                   .seconds_a_kill = 20,
                                   .kills = &plays,
                                   .seed = &seed};

    log_init(LOG_LEVEL_ERROR, "test_elastic");
    return kill_main(count, arguments, &program);
}
