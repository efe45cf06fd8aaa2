/* The coordinator's state machine under thousands of random schedules: nodes come, die and return, messages
 * are lost, doubled and reordered, jobs are submitted, stopped, resumed and deleted, the coordinator itself
 * starts anew. After every event the invariants hold; after the chaos an undisturbed run completes the job,
 * or makes a commit of its tables durable and adds one: every third schedule is of a job with tables. A
 * schedule is a function of its seed, which every failure tells. */
#include "check_main.h"
#include "fake_cluster.h"

#include <inttypes.h>

#define TRAINING_TEXT FAKE_JOB_TEXT("tiny", "steps: 10")
#define TABLES_TEXT                                                                                          \
    "name: tiny\ntables: [dense: {name: a, size: 9}, sparse: {name: b, dimension: 2}]\n"                     \
    "train: {optimizer: sgd}\ncluster: {servers: 2}\n"
#define SCHEDULES_A_LOOP 100
#define LOOPS            RANDOM_CASES(20)
#define EVENTS           80
#define SERVERS          3
#define WORKERS          5
#define NODES            (SERVERS + WORKERS)
#define MAIL_MAX         512
#define SAMPLES          40
#define FINAL_STEP       10
#define COMMIT_EVERY     4
#define PEER_NAME        32

/* A message under way to the coordinator. */
struct mail {
    char peer[PEER_NAME];
    Cairn__NodeMessage *message;
};

struct player {
    char name[16];
    char peer[PEER_NAME]; /* name#process; empty: dead */
    uint32_t process;
};

struct play {
    struct cluster cluster;
    uint64_t seed, random;
    bool tables;                /* the jobs have tables */
    bool peace;                 /* servers refuse no commits */
    struct player nodes[NODES]; /* servers first */
    struct mail mail[MAIL_MAX];
    size_t mail_count;
    uint64_t incarnation[FAKE_JOBS_MAX], committed[FAKE_JOBS_MAX], epoch[FAKE_JOBS_MAX];
    uint32_t table_count[FAKE_JOBS_MAX];
    size_t jobs_listed; /* when that was asked last */
};

static const char *text_of(const struct play *play)
{
    return play->tables ? TABLES_TEXT : TRAINING_TEXT;
}

static uint64_t draw(struct play *play, uint64_t below)
{
    uint64_t z = (play->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

/* ---- invariants that clients and nodes can see */

static void check_status(struct play *play, const Cairn__JobStatus *status)
{
    uint64_t number = status->number;

    MUST_MSG(status->incarnation >= play->incarnation[number], "seed %" PRIu64, play->seed);
    MUST_MSG(status->committed_step >= play->committed[number], "seed %" PRIu64, play->seed);
    MUST_MSG(status->membership_epoch >= play->epoch[number], "seed %" PRIu64, play->seed);
    MUST_MSG(status->committed_step <= FINAL_STEP && status->step <= FINAL_STEP, "seed %" PRIu64, play->seed);
    MUST_MSG(status->tables >= play->table_count[number], "seed %" PRIu64,
             play->seed); /* what is added stays */
    play->table_count[number] = status->tables;
    play->incarnation[number] = status->incarnation;
    play->committed[number] = status->committed_step;
    play->epoch[number] = status->membership_epoch;
}

static void check_jobs(struct play *play)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__JobsRequest body = CAIRN__JOBS_REQUEST__INIT;
    Cairn__ClientReply *reply;

    request.body_case = CAIRN__CLIENT_REQUEST__BODY_JOBS;
    request.jobs = &body;
    ask(&play->cluster, "checker", &request);
    reply = take_reply(&play->cluster, "checker");
    MUST_MSG(reply != NULL, "seed %" PRIu64, play->seed);
    play->jobs_listed = reply->jobs->n_jobs;
    for (size_t i = 0; i < reply->jobs->n_jobs; i++)
        check_status(play, reply->jobs->jobs[i]);
    message_free(reply);
}

static void check_spans(const struct play *play, const Cairn__EpochCommand *epoch)
{
    uint32_t next = 0;

    MUST_MSG(epoch->n_spans <= 3, "seed %" PRIu64, play->seed);
    if (epoch->n_spans == 0)
        return; /* a pause */
    for (size_t i = 0; i < epoch->n_spans; i++) {
        MUST_MSG(epoch->spans[i]->begin == next, "seed %" PRIu64, play->seed);
        next = epoch->spans[i]->end;
    }
    MUST_MSG(next == 4, "seed %" PRIu64, play->seed);
}

/* ---- nodes that do as they are told */

static void post(struct play *play, const char *peer, Cairn__NodeMessage *message)
{
    struct effects effects;
    struct turn turn = {play->cluster.now, &effects};
    struct mail *mail = &play->mail[play->mail_count];

    if (play->mail_count == MAIL_MAX)
        return; /* lost */
    effects_init(&effects);
    message->protocol = PROTOCOL_VERSION;
    mail->message = turn_copy(&turn, message);
    snprintf(mail->peer, sizeof(mail->peer), "%s", peer);
    play->mail_count++;
}

/* POST(play, peer, PREPARED, prepared, Prepared, PREPARED, command, more) */
#define POST(play, peer, KIND, member, type, about, ...)                                                     \
    do {                                                                                                     \
        Cairn__NodeMessage posted = CAIRN__NODE_MESSAGE__INIT;                                               \
        Cairn__##type body = CAIRN__##KIND##__INIT;                                                          \
                                                                                                             \
        body.job = (about)->job;                                                                             \
        body.incarnation = (about)->incarnation;                                                             \
        __VA_ARGS__;                                                                                         \
        posted.body_case = CAIRN__NODE_MESSAGE__BODY_##KIND;                                                 \
        posted.member = &body;                                                                               \
        post((play), (peer), &posted);                                                                       \
    } while (0)

/* A server makes its generations whenever it likes: all that the job will have, at once. */
static void make_generations(struct play *play, const char *peer, const Cairn__PrepareCommand *prepare)
{
    for (uint64_t step = COMMIT_EVERY; step < FINAL_STEP; step += COMMIT_EVERY) {
        if (step > prepare->step)
            POST(play, peer, COMMITTED, committed, Committed, prepare, body.step = step);
    }
}

static void train(struct play *play, const char *peer, const Cairn__EpochCommand *epoch)
{
    check_spans(play, epoch);
    for (uint64_t step = epoch->first_step; step < FINAL_STEP; step += 3)
        POST(play, peer, PROGRESS, progress, Progress, epoch, body.step = step);
    POST(play, peer, VALIDATED, validated, Validated, epoch, body.step = FINAL_STEP);
    POST(play, peer, REACHED, reached, Reached, epoch, body.step = FINAL_STEP; body.model_hash = "hash";
         body.output = epoch->output);
}

/* Tables that are added begin one after the other, the last ones at the step of the command. */
static void check_extension(const struct play *play, const Cairn__PrepareCommand *prepare)
{
    const Cairn__JobText *text = prepare->text;

    MUST_MSG(text->n_added > 0, "seed %" PRIu64, play->seed);
    for (size_t i = 0; i + 1 < text->n_added; i++)
        MUST_MSG(text->added[i]->first_version <= text->added[i + 1]->first_version, "seed %" PRIu64,
                 play->seed);
    MUST_MSG(text->added[text->n_added - 1]->first_version == prepare->step, "seed %" PRIu64, play->seed);
}

/* Now and then something cannot be removed. */
static void remove_jobs(struct play *play, const char *peer, const Cairn__RemoveCommand *remove)
{
    for (size_t i = 0; i < remove->n_jobs; i++) {
        Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
        Cairn__Removed body = CAIRN__REMOVED__INIT;

        MUST_MSG(play->cluster.jobs[remove->jobs[i]].is_erased, "seed %" PRIu64, play->seed);
        body.job = remove->jobs[i];
        message.body_case = CAIRN__NODE_MESSAGE__BODY_REMOVED;
        message.removed = &body;
        if (play->peace || draw(play, 4) > 0)
            post(play, peer, &message);
    }
}

static void obey(struct play *play, const char *peer, const Cairn__NodeCommand *command)
{
    switch (command->body_case) {
    case CAIRN__NODE_COMMAND__BODY_PREPARE:
        POST(play, peer, PREPARED, prepared, Prepared, command->prepare,
             body.training_samples = peer[0] == 's' ? 0 : SAMPLES);
        if (peer[0] == 's')
            make_generations(play, peer, command->prepare);
        break;
    case CAIRN__NODE_COMMAND__BODY_EPOCH:
        train(play, peer, command->epoch);
        break;
    case CAIRN__NODE_COMMAND__BODY_COMMIT:
        if (play->tables && !play->peace && draw(play, 4) == 0)
            POST(play, peer, COMMIT_REFUSED, commit_refused, CommitRefused, command->commit,
                 body.step = command->commit->step);
        else
            POST(play, peer, COMMITTED, committed, Committed, command->commit,
                 body.step = command->commit->step);
        break;
    case CAIRN__NODE_COMMAND__BODY_HOLD:
        POST(play, peer, HELD, held, Held, command->hold, body.step = draw(play, FINAL_STEP));
        break;
    case CAIRN__NODE_COMMAND__BODY_EXTEND:
        check_extension(play, command->extend->prepare);
        POST(play, peer, EXTENDED, extended, Extended, command->extend->prepare,
             body.tables = 2 + (uint32_t)command->extend->prepare->text->n_added);
        break;
    case CAIRN__NODE_COMMAND__BODY_STOP:
        POST(play, peer, REACHED, reached, Reached, command->stop, body.step = FINAL_STEP - 1;
             body.model_hash = "earlier hash");
        break;
    case CAIRN__NODE_COMMAND__BODY_REMOVE:
        remove_jobs(play, peer, command->remove);
        break;
    default:
        break;
    }
}

static bool is_alive(const struct play *play, const char *peer)
{
    for (size_t i = 0; i < NODES; i++) {
        if (strcmp(play->nodes[i].peer, peer) == 0)
            return true;
    }
    return false;
}

/* Hands all commands to their nodes. Each goes to a peer that has registered; those to dead ones are lost. */
static void deliver_commands(struct play *play)
{
    struct effects outbox = play->cluster.outbox;

    effects_init(&play->cluster.outbox);
    for (size_t i = 0; i < outbox.count; i++) {
        char peer[PEER_BYTES_MAX + 1] = "";
        Cairn__NodeCommand *command;

        if (outbox.items[i].type != EFFECT_COMMAND)
            continue;
        memcpy(peer, outbox.items[i].peer.bytes, outbox.items[i].peer.length);
        MUST_MSG(strchr(peer, '#') != NULL, "seed %" PRIu64 ": a command to %s", play->seed, peer);
        command = cairn__node_command__unpack(NULL, outbox.items[i].length, outbox.items[i].bytes);
        if (is_alive(play, peer))
            obey(play, peer, command);
        cairn__node_command__free_unpacked(command, NULL);
    }
    effects_fini(&outbox);
}

/* ---- chaos */

static void revive_node(struct play *play, struct player *player)
{
    uint32_t shards = player->name[0] == 's' ? 2 : 0;

    player->process++;
    snprintf(player->peer, sizeof(player->peer), "%s#%u", player->name, player->process);
    register_from(&play->cluster, player->peer, player->name, player->process, shards);
}

static void kill_node(struct play *play, struct player *player)
{
    if (draw(play, 2) == 0 && player->peer[0]) {
        if (draw(play, 2) == 0) {
            leave(&play->cluster, player->peer);
        } else {
            struct event gone = {.type = EVENT_PEER_GONE, .peer = peer_named(player->peer), .reason = "gone"};

            cluster_handle(&play->cluster, &gone);
        }
    }
    player->peer[0] = '\0';
}

static void forget_mail(struct play *play, size_t index)
{
    message_free(play->mail[index].message);
    memmove(&play->mail[index], &play->mail[index + 1],
            (play->mail_count - index - 1) * sizeof(play->mail[0]));
    play->mail_count--;
}

/* Any message, not only the oldest; sometimes it gets lost, sometimes it comes again. */
static void disturb_mail(struct play *play)
{
    size_t index;
    uint64_t fate = draw(play, 20);

    if (play->mail_count == 0)
        return;
    index = draw(play, 3) > 0 ? 0 : draw(play, play->mail_count);
    if (fate > 0)
        say(&play->cluster, play->mail[index].peer, play->mail[index].message);
    if (fate != 1)
        forget_mail(play, index);
}

static void ask_commit(struct play *play, const char *client, const char *job, uint64_t step)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__CommitRequest body = CAIRN__COMMIT_REQUEST__INIT;

    body.job = (char *)job;
    body.step = step;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_COMMIT;
    request.commit = &body;
    ask(&play->cluster, client, &request);
}

static void ask_table(struct play *play, const char *client, const char *job, const char *name)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__TableRequest body = CAIRN__TABLE_REQUEST__INIT;
    char text[64];

    snprintf(text, sizeof(text), "sparse: {name: %s, dimension: 3}", name);
    body.job = (char *)job;
    body.text = text;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_TABLE;
    request.table = &body;
    ask(&play->cluster, client, &request);
}

static void ask_something(struct play *play)
{
    static const char *const names[] = {"x", "y", "z", "b"}; /* the last is there, and is another */

    if (draw(play, 8) == 0) {
        ASK_DELETE(&play->cluster, "deleter", draw(play, 2) ? "1" : "2");
        return;
    }
    switch (draw(play, play->tables ? 15 : 6)) {
    case 0:
        send_submit(&play->cluster, text_of(play), false, 0);
        break;
    case 1:
    case 2:
        send_submit(&play->cluster, text_of(play), true, 0);
        break;
    case 3:
        ASK_STOP(&play->cluster, "stopper", draw(play, 2) ? "1" : "2");
        break;
    case 4:
        ASK_WATCH(&play->cluster, "watcher", "1");
        break;
    case 5:
        ASK_LOCATE(&play->cluster, "locator", "1");
        break;
    case 12:
    case 13:
    case 14:
        ask_table(play, draw(play, 2) ? "adder" : "other", "1", names[draw(play, 4)]);
        break;
    default:
        ask_commit(play, draw(play, 2) ? "writer" : "other", "1", draw(play, FINAL_STEP));
        break;
    }
}

static void disturb_node(struct play *play)
{
    struct player *player = &play->nodes[draw(play, NODES)];
    uint64_t what = draw(play, 6);

    if (!player->peer[0] || what == 0)
        revive_node(play, player);
    else if (what == 1)
        kill_node(play, player);
    else if (what == 2)
        failed(&play->cluster, player->peer, play->incarnation[1], "chaos");
    else
        heartbeat(&play->cluster, player->peer);
}

static void happen(struct play *play)
{
    uint64_t what = draw(play, 100);

    if (what < 60)
        disturb_mail(play);
    else if (what < 85)
        disturb_node(play);
    else if (what < 93)
        ask_something(play);
    else if (what < 99)
        pass(&play->cluster, (int64_t)draw(play, 2000));
    else
        cluster_restart(&play->cluster);
    deliver_commands(play);
    if (draw(play, 4) == 0)
        check_jobs(play);
}

/* ---- peace */

static void deliver_everything(struct play *play)
{
    while (play->mail_count > 0) {
        say(&play->cluster, play->mail[0].peer, play->mail[0].message);
        forget_mail(play, 0);
        deliver_commands(play);
    }
}

static void check_training(const struct play *play, const Cairn__JobStatus *status)
{
    MUST_MSG(status->state == CAIRN__JOB_STATE__JOB_STATE_COMPLETED, "seed %" PRIu64 ": state %d, %s",
             play->seed, status->state, status->reason);
    MUST_MSG(status->committed_step == FINAL_STEP, "seed %" PRIu64, play->seed);
}

/* The job runs, and makes durable what a client wants. */
static void check_tables(struct play *play, const char *job)
{
    Cairn__ClientReply *reply;

    ask_commit(play, "writer", job, FINAL_STEP);
    deliver_commands(play);
    for (; play->mail_count > 0; forget_mail(play, 0))
        say(&play->cluster, play->mail[0].peer, play->mail[0].message);
    reply = take_reply(&play->cluster, "writer");
    MUST_MSG(reply && reply->body_case == CAIRN__CLIENT_REPLY__BODY_JOB, "seed %" PRIu64 ": %s", play->seed,
             reply ? reply->error->message : "no answer");
    MUST_MSG(reply->job->state == CAIRN__JOB_STATE__JOB_STATE_RUNNING, "seed %" PRIu64, play->seed);
    MUST_MSG(reply->job->committed_step == FINAL_STEP, "seed %" PRIu64, play->seed);
    message_free(reply);
}

/* A table is added to it. */
static void check_addition(struct play *play, const char *job)
{
    Cairn__ClientReply *reply, *newest;

    ask_table(play, "adder", job, "last");
    reply = take_reply(&play->cluster, "adder"); /* not yet */
    MUST_MSG(reply && reply->body_case == CAIRN__CLIENT_REPLY__BODY_TABLE, "seed %" PRIu64, play->seed);
    MUST_MSG(reply->table->number == 0, "seed %" PRIu64, play->seed);
    message_free(reply);
    deliver_commands(play);
    deliver_everything(play);
    ASK_JOB(&play->cluster, "asker", job);
    reply = take_reply(&play->cluster, "asker");
    MUST_MSG(reply->job->tables > 2, "seed %" PRIu64, play->seed);
    ask_table(play, "adder", job, "last");
    newest = take_reply(&play->cluster, "adder");
    MUST_MSG(newest && newest->body_case == CAIRN__CLIENT_REPLY__BODY_TABLE, "seed %" PRIu64, play->seed);
    MUST_MSG(newest->table->number == TABLE_FIRST_USER + reply->job->tables - 1, "seed %" PRIu64, play->seed);
    message_free(newest);
    message_free(reply);
}

/* Servers that were told have done so, and no other one is awaited. */
static void check_removed(const struct play *play)
{
    const struct stored_job *stored = &play->cluster.deleted;
    Cairn__DeletedJobs *deleted = cairn__deleted_jobs__unpack(NULL, stored->length, stored->bytes);

    MUST_MSG(deleted && deleted->n_jobs == 0, "seed %" PRIu64, play->seed);
    message_free(deleted);
}

/* New nodes all over, the newest job resumed: it must complete. */
static void end_well(struct play *play)
{
    Cairn__ClientReply *reply, *submitted;

    while (play->mail_count > 0)
        forget_mail(play, 0);
    for (size_t i = 0; i < NODES; i++)
        play->nodes[i].peer[0] = '\0';
    pass(&play->cluster,
         2 * FAKE_LEASE_MS); /* all old nodes are lost, and every job waits or has ended */
    check_jobs(play);
    for (uint64_t job = 1; job < FAKE_JOBS_MAX && play->incarnation[job] > 0; job++) {
        char name[24];

        snprintf(name, sizeof(name), "%" PRIu64, job);
        ASK_STOP(&play->cluster, "stopper", name);
    }
    cluster_forget(&play->cluster);
    for (size_t i = 0; i < NODES; i++)
        revive_node(play, &play->nodes[i]);
    play->peace = true;
    send_submit(&play->cluster, text_of(play), play->jobs_listed > 0, 0);
    submitted = take_reply(&play->cluster, "submitter");
    MUST_MSG(submitted != NULL, "seed %" PRIu64, play->seed);
    MUST_MSG(submitted->body_case == CAIRN__CLIENT_REPLY__BODY_JOB, "seed %" PRIu64, play->seed);
    deliver_commands(play);
    deliver_everything(play);
    if (play->tables) {
        check_tables(play, submitted->job->id);
        check_addition(play, submitted->job->id);
    } else {
        ASK_JOB(&play->cluster, "asker", submitted->job->id);
        reply = take_reply(&play->cluster, "asker");
        check_training(play, reply->job);
        message_free(reply);
    }
    message_free(submitted);
    check_removed(play);
}

static void run_schedule(uint64_t seed)
{
    static struct play play;

    memset(&play, 0, sizeof(play));
    play.seed = play.random = seed;
    play.tables = seed % 3 == 0;
    cluster_init(&play.cluster);
    for (size_t i = 0; i < NODES; i++) {
        struct player *player = &play.nodes[i];

        snprintf(player->name, sizeof(player->name), "%c%zu", i < SERVERS ? 's' : 'w', i);
        if (draw(&play, 4) > 0)
            revive_node(&play, player);
    }
    send_submit(&play.cluster, text_of(&play), false, 0);
    deliver_commands(&play);
    for (int i = 0; i < EVENTS; i++)
        happen(&play);
    end_well(&play);
    cluster_fini(&play.cluster);
}

START_TEST(any_schedule)
{
    for (uint64_t i = 0; i < SCHEDULES_A_LOOP; i++)
        run_schedule((uint64_t)_i * SCHEDULES_A_LOOP + i);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("coordinator_schedules");
    TCase *group = tcase_create("schedules");

    tcase_set_timeout(group, 60);
    tcase_add_loop_test(group, any_schedule, 0, LOOPS);
    suite_add_tcase(suite, group);
    return suite;
}

CHECK_MAIN(make_suite)
