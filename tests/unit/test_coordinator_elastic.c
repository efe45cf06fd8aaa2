/* The coordinator's state machine while a cluster falls apart and comes together, in long random schedules:
 * nodes die, return, lose their connections, fail and are drained; workers join; jobs are scaled, stopped and
 * resumed; messages both ways are lost, doubled and overtake one another; the coordinator starts again from
 * its records.
 *
 * The nodes are a small model of the real ones: a step of a job ends when the spans of the epochs that its
 * workers have adopted cover all microbatches, whoever they are; servers keep two generations and wait for
 * the coordinator's word before they go over one. After every event the machine's invariants hold and so do
 * those below; once the faults cease, every job ends. A schedule is a function of its seed, which failures
 * tell. In every third the jobs are of mode async: workers end by themselves, one of them reads the model,
 * and servers make the generations that they are asked for. */
#include "check_main.h"
#include "elastic_nodes.h"

#define ASYNC_TEXT FAKE_JOB_TEXT("tiny", "steps: 300, mode: async, commit_every: 7")
#define SEEDS      RANDOM_CASES(24)
#define EVENTS     10000
#define ROUNDS     1500 /* of peace, within which all jobs end */

/* ---- what clients see */

static void check_status(struct play *play, const Cairn__JobStatus *status)
{
    uint64_t job = status->number;
    bool has_ended = status->state == CAIRN__JOB_STATE__JOB_STATE_COMPLETED ||
                     status->state == CAIRN__JOB_STATE__JOB_STATE_STOPPED ||
                     status->state == CAIRN__JOB_STATE__JOB_STATE_FAILED;

    HOLD(status->incarnation >= play->incarnation[job]);
    HOLD(status->committed_step >= play->committed[job]);
    HOLD(status->membership_epoch >= play->epoch[job]);
    HOLD(status->committed_step <= FINAL_STEP && status->step <= FINAL_STEP);
    HOLD(status->state != CAIRN__JOB_STATE__JOB_STATE_COMPLETED || status->committed_step == FINAL_STEP);
    play->ends[job] += has_ended && !play->has_ended[job];
    HOLD(play->ends[job] <= play->resumes[job] + 1);
    play->has_ended[job] = has_ended;
    play->incarnation[job] = status->incarnation;
    play->committed[job] = status->committed_step;
    play->epoch[job] = status->membership_epoch;
}

static Cairn__ClientReply *ask_jobs(struct play *play)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__JobsRequest body = CAIRN__JOBS_REQUEST__INIT;
    Cairn__ClientReply *reply;

    request.body_case = CAIRN__CLIENT_REQUEST__BODY_JOBS;
    request.jobs = &body;
    ask(&play->cluster, "checker", &request);
    reply = take_reply(&play->cluster, "checker");
    HOLD(reply != NULL);
    return reply;
}

/* How many have not ended. */
static size_t check_jobs(struct play *play)
{
    Cairn__ClientReply *reply = ask_jobs(play);
    size_t count = 0;

    for (size_t i = 0; i < reply->jobs->n_jobs; i++) {
        check_status(play, reply->jobs->jobs[i]);
        count += !play->has_ended[reply->jobs->jobs[i]->number];
    }
    message_free(reply);
    return count;
}

/* ---- chaos */

static struct player *player_at(struct play *play, const char *peer)
{
    for (size_t i = 0; i < NODES; i++) {
        if (strcmp(play->nodes[i].peer, peer) == 0)
            return &play->nodes[i];
    }
    return NULL;
}

/* Commands become messages under way; clients' replies are forgotten. */
static void take_outbox(struct play *play)
{
    struct effects outbox = play->cluster.outbox;

    effects_init(&play->cluster.outbox);
    for (size_t i = 0; i < outbox.count; i++) {
        char peer[PEER_BYTES_MAX + 1] = "";

        if (outbox.items[i].type != EFFECT_COMMAND)
            continue;
        memcpy(peer, outbox.items[i].peer.bytes, outbox.items[i].peer.length);
        if (player_at(play, peer))
            mail_new(play, peer)->command =
                cairn__node_command__unpack(NULL, outbox.items[i].length, outbox.items[i].bytes);
    }
    effects_fini(&outbox);
}

static void deliver(struct play *play, const struct mail *mail)
{
    struct player *player = player_at(play, mail->peer);

    if (mail->message)
        say(&play->cluster, mail->peer, mail->message);
    else if (player)
        obey(play, player, mail->command);
}

/* The oldest, or any; sometimes it is lost, sometimes it comes again. */
static void disturb_mail(struct play *play)
{
    size_t index;
    uint64_t fate = draw(play, 50);
    struct mail mail;

    if (play->mail_count == 0)
        return;
    index = draw(play, 4) > 0 ? 0 : draw(play, play->mail_count);
    mail = play->mail[index];
    if (fate > 0)
        deliver(play, &mail);
    if (fate != 1)
        forget_mail(play, index);
}

static void tell_gone(struct play *play, const char *peer)
{
    struct event gone = {.type = EVENT_PEER_GONE, .peer = peer_named(peer), .reason = "gone"};

    cluster_handle(&play->cluster, &gone);
}

static void start_node(struct play *play, struct player *player)
{
    memset(player->jobs, 0, sizeof(player->jobs));
    player->process++;
    connect_anew(play, player);
}

static void kill_node(struct play *play, struct player *player)
{
    char peer[PEER_NAME];

    snprintf(peer, sizeof(peer), "%s", player->peer);
    player->peer[0] = '\0';
    memset(player->jobs, 0, sizeof(player->jobs));
    if (draw(play, 4) > 0)
        tell_gone(play, peer);
}

static void drain(struct play *play, const struct player *player)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Drain body = CAIRN__DRAIN__INIT;

    message.body_case = CAIRN__NODE_MESSAGE__BODY_DRAIN;
    message.drain = &body;
    post(play, player, &message);
}

static void fail_at_work(struct play *play, struct player *player)
{
    for (uint64_t job = 1; job < JOBS && !is_server(player) && !play->gentle; job++) {
        if (player->jobs[job].incarnation == 0)
            continue;
        POST(play, player, FAILED, failed, Failed, job, body.message = draw(play, 2) ? "chaos" : "bad luck");
        player->jobs[job].incarnation = 0;
    }
}

static void reconnect(struct play *play, struct player *player)
{
    char peer[PEER_NAME];

    snprintf(peer, sizeof(peer), "%s", player->peer);
    connect_anew(play, player);
    if (draw(play, 2) > 0)
        tell_gone(play, peer);
}

static void disturb_node(struct play *play)
{
    struct player *player = &play->nodes[draw(play, NODES)];
    uint64_t what = draw(play, is_server(player) ? 60 : 25);

    if (!player->peer[0])
        start_node(play, player);
    else if (what == 0)
        kill_node(play, player);
    else if (what == 1)
        reconnect(play, player);
    else if (what == 2 && draw(play, 2) == 0)
        fail_at_work(play, player);
    else if (what == 3)
        drain(play, player);
    else
        heartbeat(&play->cluster, player->peer);
}

static void ask_scale(struct play *play, const char *job, uint32_t workers, uint32_t servers)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__ScaleRequest body = CAIRN__SCALE_REQUEST__INIT;

    body.job = (char *)job;
    body.workers = workers;
    body.servers = servers;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SCALE;
    request.scale = &body;
    ask(&play->cluster, "scaler", &request);
}

static const char *text_of(const struct play *play)
{
    return play->is_async ? ASYNC_TEXT : SYNC_TEXT;
}

/* The newest job goes on, if it has ended. */
static void resume(struct play *play)
{
    bool had_ended[JOBS];

    (void)check_jobs(play);
    memcpy(had_ended, play->has_ended, sizeof(had_ended));
    send_submit(&play->cluster, text_of(play), true, 0);
    for (uint64_t job = 1; job < JOBS; job++)
        play->resumes[job] += had_ended[job];
    (void)check_jobs(play);
    for (uint64_t job = 1; job < JOBS; job++)
        play->resumes[job] -= had_ended[job] && play->has_ended[job];
}

static void ask_something(struct play *play)
{
    static const char *const names[] = {"1", "2", "3"};
    static const uint32_t servers[] = {0, 2, SERVERS};
    const char *job = names[draw(play, 3)];

    switch (draw(play, 12)) {
    case 0:
        if (play->incarnation[JOBS - 1] == 0)
            send_submit(&play->cluster, text_of(play), false, 0);
        (void)check_jobs(play);
        break;
    case 1:
        if (draw(play, 3) == 0)
            ASK_STOP(&play->cluster, "stopper", job);
        break;
    case 2:
    case 3:
    case 4:
        ask_scale(play, job, (uint32_t)draw(play, MICROBATCHES + 2), servers[draw(play, 3)]);
        break;
    default:
        break;
    }
}

static void happen(struct play *play)
{
    uint64_t what = draw(play, 1000);

    play->events++;
    if (what < 700)
        disturb_mail(play);
    else if (what < 850)
        train(play, 1 + draw(play, JOBS - 1));
    else if (what < 950)
        disturb_node(play);
    else if (what < 970)
        ask_something(play);
    else if (what < 999)
        pass(&play->cluster, (int64_t)draw(play, 500));
    else
        cluster_restart(&play->cluster);
    take_outbox(play);
    if (draw(play, 4) == 0)
        (void)check_jobs(play);
}

/* ---- peace */

static void deliver_everything(struct play *play)
{
    for (int i = 0; play->mail_count > 0; i++) {
        struct mail mail = play->mail[0];

        HOLD(i < 100000);
        deliver(play, &mail);
        forget_mail(play, 0);
        take_outbox(play);
    }
}

static void live(struct play *play)
{
    for (size_t i = 0; i < NODES; i++) {
        if (!play->nodes[i].peer[0]) /* it was refused or dismissed */
            start_node(play, &play->nodes[i]);
        heartbeat(&play->cluster, play->nodes[i].peer);
    }
    for (uint64_t job = 1; job < JOBS; job++)
        train(play, job);
    take_outbox(play);
    deliver_everything(play);
    pass(&play->cluster, 250);
    take_outbox(play);
}

/* Everybody connects anew, some under new names where the old ones may be excluded; all that was under way is
 * lost. */
static void make_peace(struct play *play)
{
    while (play->mail_count > 0)
        forget_mail(play, 0);
    for (size_t i = 0; i < NODES; i++) {
        struct player *player = &play->nodes[i];
        char peer[PEER_NAME];

        snprintf(peer, sizeof(peer), "%s", player->peer);
        if (peer[0] && (is_server(player) || i % 2 == 0 || play->gentle)) {
            connect_anew(play, player);
            deliver_everything(play);
            continue;
        }
        if (peer[0])
            tell_gone(play, peer);
        if (!is_server(player))
            snprintf(player->name, sizeof(player->name), "v%zu", i);
        start_node(play, player);
        deliver_everything(play);
    }
}

static void end_well(struct play *play)
{
    size_t left = 1;

    make_peace(play);
    for (int round = 0; left > 0; round++) {
        MUST_MSG(round < ROUNDS, "seed %" PRIu64 ": %zu jobs hang, %s", play->seed, left,
                 play->cluster.jobs[1].last_line);
        live(play);
        left = check_jobs(play);
    }
}

static void run_schedule(uint64_t seed)
{
    static struct play play;

    memset(&play, 0, sizeof(play));
    play.seed = play.random = seed;
    play.gentle = seed % 2 == 0;
    play.is_async = seed % 3 == 0;
    cluster_init(&play.cluster);
    for (size_t i = 0; i < NODES; i++) {
        snprintf(play.nodes[i].name, sizeof(play.nodes[i].name), "%c%zu", i < SERVERS ? 's' : 'w', i);
        start_node(&play, &play.nodes[i]);
    }
    send_submit(&play.cluster, text_of(&play), false, 0);
    take_outbox(&play);
    for (int i = 0; i < EVENTS; i++) {
        happen(&play);
        if (draw(&play, 200) == 0)
            resume(&play);
    }
    end_well(&play);
    cluster_fini(&play.cluster);
}

START_TEST(any_schedule)
{
    run_schedule((uint64_t)_i + 1);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("coordinator_elastic");
    TCase *group = tcase_create("schedules");

    tcase_set_timeout(group, 60);
    tcase_add_loop_test(group, any_schedule, 0, SEEDS);
    suite_add_tcase(suite, group);
    return suite;
}

CHECK_MAIN(make_suite)
