/* A small model of the servers and workers of a coordinator's jobs: what they have, what they make of
 * commands, and what they say, by messages that are under way until somebody delivers them. Test code only.
 */
#ifndef CAIRN_TESTS_ELASTIC_NODES_H
#define CAIRN_TESTS_ELASTIC_NODES_H

#include "fake_cluster.h"

#include <inttypes.h>

#define SYNC_TEXT    FAKE_JOB_TEXT("tiny", "steps: 300")
#define SERVERS      3
#define WORKERS      6
#define NODES        (SERVERS + WORKERS)
#define JOBS         4 /* numbers below it */
#define MAIL_MAX     4096
#define SAMPLES      40
#define FINAL_STEP   300
#define COMMIT_EVERY 7
#define MICROBATCHES 4
#define PEER_NAME    32

/* A message under way, to the coordinator or from it. */
struct mail {
    char peer[PEER_NAME];
    Cairn__NodeMessage *message; /* one of the two */
    Cairn__NodeCommand *command;
};

/* What a node holds of a job. */
struct holding {
    uint64_t incarnation; /* 0: nothing */
    uint64_t epoch;       /* worker: the newest that it adopted */
    uint32_t begin, end;  /* its span there; both 0: none */
    uint64_t first_step, final_step;
    bool writes, votes, closes;
    uint64_t reached;           /* worker: step, + 1; 0: it has not */
    uint64_t newest, confirmed; /* server: generations; it makes no other while the newest is not confirmed */
    uint64_t abandoned;         /* server: the newest that it may go over */
    uint64_t asked;             /* server: the one that a command asks for */
    uint64_t since; /* server: it has something, for generations of later steps; UINT64_MAX: nothing */
};

struct player {
    char name[16];
    char peer[PEER_NAME]; /* empty: dead */
    uint32_t process, connection;
    bool is_registered; /* the Welcome came: it says what it stands for */
    struct holding jobs[JOBS];
    uint64_t durable[JOBS][2]; /* server: survives its death */
};

/* A job's training, as its servers hold it. */
struct training {
    uint64_t incarnation, step, stop; /* stop: a step + 1; 0: nobody voted */
};

struct play {
    struct cluster cluster;
    uint64_t seed, random;
    struct player nodes[NODES]; /* servers first */
    struct mail mail[MAIL_MAX];
    size_t mail_count;
    struct training trainings[JOBS];
    uint64_t incarnation[JOBS], committed[JOBS], epoch[JOBS], resumes[JOBS], ends[JOBS];
    bool has_ended[JOBS];
    bool is_async;
    bool gentle; /* workers are alike and do not fail, so that none is excluded: in the end only those are
                    restarted that died */
    size_t events;
};

#define HOLD(condition)                                                                                      \
    MUST_MSG(condition, "seed %" PRIu64 ", event %zu: " #condition, play->seed, play->events)

static inline uint64_t draw(struct play *play, uint64_t below)
{
    uint64_t z = (play->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static inline bool is_server(const struct player *player)
{
    return player->name[0] == 's';
}

/* ---- messages under way */

static inline struct mail *mail_new(struct play *play, const char *peer)
{
    struct mail *mail = &play->mail[play->mail_count++];

    HOLD(play->mail_count < MAIL_MAX);
    memset(mail, 0, sizeof(*mail));
    memcpy(mail->peer, peer, strnlen(peer, sizeof(mail->peer) - 1));
    return mail;
}

static inline void forget_mail(struct play *play, size_t index)
{
    message_free(play->mail[index].message);
    message_free(play->mail[index].command);
    memmove(&play->mail[index], &play->mail[index + 1],
            (play->mail_count - index - 1) * sizeof(play->mail[0]));
    play->mail_count--;
}

static inline void post(struct play *play, const struct player *player, Cairn__NodeMessage *message)
{
    struct effects effects;
    struct turn turn = {play->cluster.now, &effects};

    if (!player->peer[0])
        return;
    effects_init(&effects);
    message->protocol = PROTOCOL_VERSION;
    mail_new(play, player->peer)->message = turn_copy(&turn, message);
}

/* POST(play, player, PREPARED, prepared, Prepared, number, more) */
#define POST(play, player, KIND, member, type, number, ...)                                                  \
    do {                                                                                                     \
        Cairn__NodeMessage posted = CAIRN__NODE_MESSAGE__INIT;                                               \
        Cairn__##type body = CAIRN__##KIND##__INIT;                                                          \
                                                                                                             \
        body.job = (number);                                                                                 \
        body.incarnation = (player)->jobs[number].incarnation;                                               \
        __VA_ARGS__;                                                                                         \
        posted.body_case = CAIRN__NODE_MESSAGE__BODY_##KIND;                                                 \
        posted.member = &body;                                                                               \
        post((play), (player), &posted);                                                                     \
    } while (0)

/* ---- what nodes say */

static inline void say_prepared(struct play *play, const struct player *player, uint64_t job)
{
    POST(play, player, PREPARED, prepared, Prepared, job,
         body.training_samples = is_server(player) ? 0 : SAMPLES);
}

static inline void say_reached(struct play *play, const struct player *player, uint64_t job)
{
    const struct holding *holding = &player->jobs[job];
    char hash[32];

    bool is_whole = !play->is_async || holding->closes;

    snprintf(hash, sizeof(hash), "hash-%" PRIu64, holding->reached);
    POST(play, player, REACHED, reached, Reached, job, body.step = holding->reached - 1;
         body.model_hash = is_whole ? hash : "";
         body.output = holding->writes && is_whole ? "/jobs/out/model.h5" : "");
}

static inline void say_committed(struct play *play, const struct player *player, uint64_t job)
{
    POST(play, player, COMMITTED, committed, Committed, job, body.step = player->jobs[job].newest);
}

/* What stands, once more. */
static inline void report_all(struct play *play, const struct player *player)
{
    for (uint64_t job = 1; job < JOBS; job++) {
        if (player->jobs[job].incarnation == 0)
            continue;
        say_prepared(play, player, job);
        if (player->jobs[job].reached > 0)
            say_reached(play, player, job);
        if (is_server(player) && player->jobs[job].newest > 0)
            say_committed(play, player, job);
    }
}

static inline void say_registration(struct play *play, struct player *player)
{
    static char *endpoints[] = {"tcp://h:1", "tcp://h:2"};
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Registration body = CAIRN__REGISTRATION__INIT;
    Cairn__Engagement engagements[JOBS], *pointers[JOBS];

    for (uint64_t job = 1; job < JOBS; job++) {
        Cairn__Engagement *engagement = &engagements[body.n_engagements];

        if (player->jobs[job].incarnation == 0)
            continue;
        cairn__engagement__init(engagement);
        engagement->job = job;
        engagement->incarnation = player->jobs[job].incarnation;
        pointers[body.n_engagements++] = engagement;
    }
    body.engagements = pointers;
    body.kind = is_server(player) ? CAIRN__NODE_KIND__NODE_KIND_SERVER : CAIRN__NODE_KIND__NODE_KIND_WORKER;
    body.name = player->name;
    body.host = "host";
    body.process = player->process;
    body.version = "1";
    body.lanes = is_server(player) ? 0 : 1;
    body.device = "cpu";
    body.n_endpoints = is_server(player) ? 2 : 0;
    body.endpoints = endpoints;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_REGISTRATION;
    message.registration = &body;
    player->is_registered = false;
    post(play, player, &message);
}

static inline void connect_anew(struct play *play, struct player *player)
{
    char peer[PEER_NAME];

    snprintf(peer, sizeof(peer), "%s#%u.%u", player->name, player->process, ++player->connection);
    memcpy(player->peer, peer, sizeof(peer));
    say_registration(play, player);
}

/* ---- commands */

/* Whether a server is to have anything; slots with nothing in them lie anywhere. */
static inline bool is_on(const struct player *player, Cairn__Shard *const *shards,
                         const uint32_t *slot_shards, size_t places, uint32_t replicas)
{
    static struct job *job;
    static const struct job_overrides none;

    if (!job)
        ck_assert_int_eq(job_load_text(SYNC_TEXT, strlen(SYNC_TEXT), "job.yaml", "/", &none, &job, NULL),
                         CAIRN_OK);
    for (size_t i = 0; i < places; i++) {
        if (slot_shards[i] != UINT32_MAX &&
            job_slot_has_state(job, (uint32_t)i / (replicas ? replicas : 1)) &&
            strcmp(shards[slot_shards[i]]->server, player->name) == 0)
            return true;
    }
    return false;
}

static inline void prepare(struct play *play, struct player *player, const Cairn__PrepareCommand *command)
{
    struct holding *holding = &player->jobs[command->job];
    struct training *training = &play->trainings[command->job];
    uint64_t *durable = player->durable[command->job];
    bool holds =
        is_on(player, command->shards, command->slot_shards, command->n_slot_shards, command->replicas);

    if (command->incarnation < holding->incarnation)
        return; /* late */
    if (!is_server(player)) {
        for (uint64_t job = 1; job < JOBS; job++)
            player->jobs[job].incarnation = 0;
    }
    if (is_server(player) && command->incarnation == holding->incarnation) {
        say_prepared(play, player, command->job);
        return;
    }
    if (is_server(player) && command->step > 0 && holds)
        HOLD(durable[0] == command->step || durable[1] == command->step);
    *holding = (struct holding){.incarnation = command->incarnation,
                                .newest = command->step,
                                .confirmed = command->step,
                                .since = holds ? 0 : UINT64_MAX};
    durable[0] = durable[1] = command->step;
    if (is_server(player) && command->incarnation > training->incarnation)
        *training = (struct training){command->incarnation, command->step, 0};
    say_prepared(play, player, command->job);
}

/* Spans cover everything; those who are named have prepared, under the epoch's incarnation. */
static inline void check_epoch(const struct play *play, const Cairn__EpochCommand *epoch)
{
    uint32_t end = 0;

    for (size_t i = 0; i < epoch->n_workers; i++) {
        HOLD(epoch->spans[i]->begin == end && epoch->spans[i]->end > end);
        end = epoch->spans[i]->end;
    }
    HOLD(epoch->n_workers == 0 || end == MICROBATCHES);
    HOLD(epoch->final_step <= FINAL_STEP);
}

static inline void adopt(struct play *play, struct player *player, const Cairn__EpochCommand *epoch)
{
    struct holding *holding = &player->jobs[epoch->job];

    check_epoch(play, epoch);
    if (holding->incarnation != epoch->incarnation || epoch->number <= holding->epoch ||
        (holding->reached > 0 && !epoch->closing))
        return;
    holding->epoch = epoch->number;
    holding->begin = holding->end = 0;
    holding->final_step = epoch->final_step;
    holding->first_step = epoch->first_step;
    holding->writes = epoch->output[0] != '\0';
    for (size_t i = 0; i < epoch->n_workers; i++) {
        if (strcmp(epoch->workers[i], player->name) != 0)
            continue;
        holding->begin = epoch->spans[i]->begin;
        holding->end = epoch->spans[i]->end;
    }
    holding->closes = epoch->closing && holding->end > 0;
    if (holding->closes) {
        holding->reached = play->trainings[epoch->job].step + 1;
        say_reached(play, player, epoch->job);
    }
}

static inline void release(struct player *player, const Cairn__ReleaseCommand *command)
{
    if (player->jobs[command->job].incarnation == command->incarnation)
        player->jobs[command->job].incarnation = 0;
}

static inline void make_generation(struct play *play, struct player *player, uint64_t job, uint64_t step)
{
    struct holding *holding = &player->jobs[job];
    uint64_t *durable = player->durable[job];

    durable[durable[0] == holding->confirmed] = step;
    holding->newest = step;
    say_committed(play, player, job);
}

static inline void confirm(struct player *player, const Cairn__CommittedCommand *command)
{
    struct holding *holding = &player->jobs[command->job];

    if (holding->incarnation != command->incarnation || command->step <= holding->confirmed)
        return;
    holding->confirmed = command->step;
    if (command->step > holding->newest) /* it has none of that, and need not keep an older one */
        holding->newest = command->step;
}

static inline void commit(struct play *play, struct player *player, const Cairn__CommitCommand *command)
{
    struct holding *holding = &player->jobs[command->job];

    if (holding->incarnation != command->incarnation)
        return;
    holding->asked = command->step;
    if (holding->newest >= command->step)
        say_committed(play, player, command->job);
}

/* The newest generation that a server has heard of, of those that have no version. */
static inline uint64_t newest_known(const struct holding *holding)
{
    return holding->asked > holding->newest ? holding->asked : holding->newest;
}

/* Copies are made at once. */
static inline void go_by_map(struct play *play, struct player *player, const Cairn__MapCommand *map)
{
    struct holding *holding = &player->jobs[map->job];
    uint64_t step = play->is_async ? newest_known(holding) : play->trainings[map->job].step;
    bool is_copied = false;

    if (holding->incarnation != map->incarnation)
        return;
    POST(play, player, MAPPED, mapped, Mapped, map->job, body.number = map->number);
    for (size_t i = 0; i < map->n_copies; i++) {
        if (strcmp(map->shards[map->copies[i]->shard]->server, player->name) != 0)
            continue;
        is_copied = true;
        if (holding->since == UINT64_MAX)
            holding->since = step;
        POST(play, player, COPIED, copied, Copied, map->job, body.slot = map->copies[i]->slot;
             body.shard = map->copies[i]->shard; body.number = map->copies[i]->number; body.step = step);
    }
    if (!is_copied && !is_on(player, map->shards, map->slot_shards, map->n_slot_shards, map->replicas))
        holding->since = UINT64_MAX;
}

static inline void obey(struct play *play, struct player *player, const Cairn__NodeCommand *command)
{
    switch (command->body_case) {
    case CAIRN__NODE_COMMAND__BODY_WELCOME:
        if (!player->is_registered)
            report_all(play, player);
        player->is_registered = true;
        break;
    case CAIRN__NODE_COMMAND__BODY_REGISTER_AGAIN:
        say_registration(play, player);
        break;
    case CAIRN__NODE_COMMAND__BODY_PREPARE:
        prepare(play, player, command->prepare);
        break;
    case CAIRN__NODE_COMMAND__BODY_MAP:
        go_by_map(play, player, command->map);
        break;
    case CAIRN__NODE_COMMAND__BODY_EPOCH:
        adopt(play, player, command->epoch);
        break;
    case CAIRN__NODE_COMMAND__BODY_STOP:
        if (player->jobs[command->stop->job].incarnation == command->stop->incarnation)
            player->jobs[command->stop->job].votes = true;
        break;
    case CAIRN__NODE_COMMAND__BODY_COMMIT:
        commit(play, player, command->commit);
        break;
    case CAIRN__NODE_COMMAND__BODY_COMMITTED:
        confirm(player, command->committed);
        break;
    case CAIRN__NODE_COMMAND__BODY_ABANDON:
        if (player->jobs[command->abandon->job].incarnation == command->abandon->incarnation)
            player->jobs[command->abandon->job].abandoned = command->abandon->step;
        break;
    case CAIRN__NODE_COMMAND__BODY_RELEASE:
        release(player, command->release);
        break;
    case CAIRN__NODE_COMMAND__BODY_DISMISS:
    case CAIRN__NODE_COMMAND__BODY_REFUSAL:
        player->peer[0] = '\0';
        memset(player->jobs, 0, sizeof(player->jobs));
        break;
    default:
        break;
    }
}

/* ---- training */

static inline bool takes_part(const struct play *play, const struct player *player, uint64_t job)
{
    return player->peer[0] && player->jobs[job].incarnation == play->trainings[job].incarnation &&
           play->trainings[job].incarnation > 0;
}

/* A server is there, as one may have all slots when others were drained, and what workers have adopted covers
 * all microbatches. */
static inline bool step_can_end(const struct play *play, uint64_t job)
{
    bool covered[MICROBATCHES] = {false};
    int servers = 0;

    for (size_t i = 0; i < NODES; i++) {
        const struct player *player = &play->nodes[i];

        if (!takes_part(play, player, job))
            continue;
        servers += is_server(player);
        for (uint32_t j = player->jobs[job].begin; j < player->jobs[job].end; j++)
            covered[j] = true;
    }
    for (int i = 0; i < MICROBATCHES; i++) {
        if (!covered[i])
            return false;
    }
    return servers > 0;
}

static inline bool somebody_votes(const struct play *play, uint64_t job)
{
    for (size_t i = SERVERS; i < NODES; i++) {
        const struct player *player = &play->nodes[i];

        if (takes_part(play, player, job) && player->jobs[job].votes && player->jobs[job].end > 0)
            return true;
    }
    return false;
}

/* The first epoch's word counts for the end of the training. */
static inline void work(struct play *play, struct player *player, uint64_t job)
{
    const struct training *training = &play->trainings[job];
    struct holding *holding = &player->jobs[job];
    uint64_t end = training->stop > 0 ? training->stop - 1 : FINAL_STEP;

    if (holding->epoch == 0 || holding->end == 0 || holding->reached > 0)
        return;
    if (training->step == end || training->step == holding->final_step) {
        holding->reached = training->step + 1;
        say_reached(play, player, job);
    } else {
        POST(play, player, PROGRESS, progress, Progress, job, body.step = training->step;
             body.microbatches_per_second = play->gentle ? 1 : (double)(1 + draw(play, 9)));
    }
}

static inline void serve(struct play *play, struct player *player, uint64_t job)
{
    const struct holding *holding = &player->jobs[job];
    uint64_t boundary = play->is_async ? 0 : play->trainings[job].step / COMMIT_EVERY * COMMIT_EVERY;
    uint64_t wanted = holding->asked > boundary ? holding->asked : boundary;

    if (wanted > holding->newest && wanted > holding->since &&
        (holding->newest == holding->confirmed || holding->newest <= holding->abandoned))
        make_generation(play, player, job, wanted);
}

static inline void train(struct play *play, uint64_t job)
{
    struct training *training = &play->trainings[job];

    if (training->step < FINAL_STEP && training->stop == 0 && step_can_end(play, job)) {
        training->step++;
        if (somebody_votes(play, job))
            training->stop = training->step + 1;
    }
    for (size_t i = 0; i < NODES; i++) {
        if (!takes_part(play, &play->nodes[i], job))
            continue;
        if (is_server(&play->nodes[i]))
            serve(play, &play->nodes[i], job);
        else
            work(play, &play->nodes[i], job);
    }
}

#endif
