/* The server's main thread: one poll over the coordinator, the shard threads and the end. */
#include "server.h"

#include "assignment.h"
#include "base/log.h"
#include "cluster/member.h"
#include "divergences.h"
#include "endpoints.h"
#include "identity.h"
#include "net/actor.h"
#include "removals.h"
#include "shard.h"
#include "shard_actor.h"
#include "tally.h"
#include "telling.h"

#include "base/clock.h"
#include "control.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

struct server {
    const struct server_settings *settings;
    uint32_t shard_count;
    struct identity identity;
    void *context; /* borrowed */
    int stop_descriptor;
    struct shard_actor_params *params; /* [shard_count], as the next three */
    char (*listen)[SHARD_ENDPOINT_BYTES];
    char (*endpoints)[SHARD_ENDPOINT_BYTES]; /* told to others */
    struct actor **shards;
    struct tallies *tallies;
    struct divergences divergences;
    Cairn__Registration registration;
    struct member *member;
    struct removals removals; /* of jobs that were deleted */
    bool is_dismissed; /* the coordinator has nothing left for this node */
    bool is_away;      /* the coordinator, as the shards were told */
};

/* ---- to the shards */

static bool shard_tell(struct server *server, uint32_t shard, const struct shard_command *command)
{
    struct error error;

    if (actor_tell(server->shards[shard], command, sizeof(*command), &error) == CAIRN_OK)
        return true;
    log_error("command_lost", "shard=%" PRIu32 " job=%" PRIu64 " reason=\"%s\"", shard, command->job,
              error.message);
    return false;
}

static void shards_tell(struct server *server, enum shard_command_kind kind, uint64_t job,
                        uint64_t incarnation, uint64_t step)
{
    const struct shard_command command = {.kind = kind, .job = job, .incarnation = incarnation, .step = step};

    for (uint32_t i = 0; i < server->shard_count; i++)
        shard_tell(server, i, &command);
}

/* kind: PREPARE or EXTEND. */
static void shards_assign(struct server *server, enum shard_command_kind kind, struct assignment *assignment,
                          const Cairn__PrepareCommand *prepare)
{
    for (uint32_t i = 0; i < server->shard_count; i++) {
        struct shard_command command = {
            .kind = kind, .job = prepare->job, .incarnation = prepare->incarnation, .step = prepare->step};

        if (!slot_map_takes_part(assignment->map, i))
            continue;
        command.assignment = assignment_ref(assignment);
        if (!shard_tell(server, i, &command))
            assignment_unref(assignment);
    }
}

static uint32_t parts(const struct server *server, const struct assignment *assignment)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < server->shard_count; i++)
        count += slot_map_takes_part(assignment->map, i);
    return count;
}

/* Work on the job begins, whatever becomes of it. */
static enum status engage(struct server *server, const struct assignment *assignment,
                          const Cairn__PrepareCommand *prepare, struct error *error)
{
    uint32_t count = parts(server, assignment);
    enum status status;

    if (count == 0)
        return error_set(error, CAIRN_INVALID, "no shard of the job is on this server");
    status = tally_begin(server->tallies, prepare->job, prepare->incarnation, prepare->step, count);
    if (status != CAIRN_OK)
        return error_set(error, status, "out of memory for the job's reports");
    return member_engage(server->member, prepare->job, prepare->incarnation, error);
}

/* A coordinator that has lost its directory gives numbers again: nothing of the new job may be removed for
 * the old one. */
static enum status check_number(const struct server *server, uint64_t job, struct error *error)
{
    if (!removals_include(&server->removals, job))
        return CAIRN_OK;
    return error_set(error, CAIRN_EXISTS,
                     "an older job of the number %" PRIu64 " is still being removed here", job);
}

static void handle_prepare(struct server *server, const Cairn__PrepareCommand *prepare)
{
    struct assignment *assignment = NULL;
    struct error error;
    enum status status =
        assignment_new(prepare, server->identity.name, server->shard_count, &assignment, &error);

    if (status == CAIRN_OK)
        status = check_number(server, prepare->job, &error);
    if (status == CAIRN_OK)
        status = engage(server, assignment, prepare, &error);
    if (status == CAIRN_OK)
        shards_assign(server, SHARD_COMMAND_PREPARE, assignment, prepare);
    else
        telling_failed(server->member, prepare->job, prepare->incarnation, error.message);
    assignment_unref(assignment);
}

static void handle_hold(struct server *server, const Cairn__HoldCommand *hold)
{
    tally_hold(server->tallies, hold->job, hold->incarnation);
    shards_tell(server, SHARD_COMMAND_HOLD, hold->job, hold->incarnation, 0);
}

static void handle_extend(struct server *server, const Cairn__PrepareCommand *prepare)
{
    struct assignment *assignment = NULL;
    struct error error;
    enum status status =
        assignment_new(prepare, server->identity.name, server->shard_count, &assignment, &error);

    if (status == CAIRN_OK) {
        tally_extend(server->tallies, prepare->job, prepare->incarnation);
        shards_assign(server, SHARD_COMMAND_EXTEND, assignment, prepare);
    } else {
        telling_failed(server->member, prepare->job, prepare->incarnation, error.message);
    }
    assignment_unref(assignment);
}

static void handle_map(struct server *server, const Cairn__MapCommand *command)
{
    const struct slot_map_params params = {.number = command->number,
                                           .shards = command->shards,
                                           .shard_count = command->n_shards,
                                           .slot_shards = command->slot_shards,
                                           .place_count = command->n_slot_shards,
                                           .replicas = command->replicas,
                                           .copies = command->copies,
                                           .copy_count = command->n_copies};
    struct slot_map *map = NULL;
    struct error error;

    if (slot_map_new(&params, server->identity.name, server->shard_count,
                     (uint32_t)(command->n_slot_shards / command->replicas), &map, &error) != CAIRN_OK) {
        telling_failed(server->member, command->job, command->incarnation, error.message);
        return;
    }
    for (uint32_t i = 0; i < server->shard_count; i++) {
        const struct shard_command to_shard = {.kind = SHARD_COMMAND_MAP,
                                               .job = command->job,
                                               .incarnation = command->incarnation,
                                               .map = slot_map_ref(map)};

        if (!shard_tell(server, i, &to_shard))
            slot_map_unref(map);
    }
    slot_map_unref(map);
}

/* ---- jobs that were deleted (removals.h) */

/* The shard is to let go of the job in hand. One that cannot be told ends this; the coordinator tells the
 * server again when it registers. */
static void part_from_shard(struct server *server, uint32_t shard)
{
    const struct shard_command command = {.kind = SHARD_COMMAND_REMOVE, .job = server->removals.jobs[0]};

    if (!shard_tell(server, shard, &command))
        server->removals.count = 0;
}

static void handle_remove(struct server *server, const Cairn__RemoveCommand *remove)
{
    bool is_busy = server->removals.count > 0;

    for (size_t i = 0; i < remove->n_jobs; i++)
        removals_add(&server->removals, remove->jobs[i]);
    if (!is_busy && server->removals.count > 0)
        part_from_shard(server, 0);
}

/* The coordinator is told when nothing is left, and only then. */
static void end_removal(struct server *server, uint64_t job, const char *problem)
{
    if (problem[0] == '\0')
        telling_removed(server->member, job);
    else
        log_error("job_not_removed", "job=%" PRIu64 " reason=\"%s\"", job, problem);
    removals_next(&server->removals);
    if (server->removals.count > 0)
        part_from_shard(server, 0);
}

/* A shard has let go of the job in hand: the next one is to, or, after the last, its files go. */
static void go_on_removing(struct server *server, const struct shard_report *report)
{
    struct error error;

    if (!removals_is_first(&server->removals, report->job))
        return;
    if (report->message[0] != '\0')
        end_removal(server, report->job, report->message);
    else if (report->shard + 1 < server->shard_count)
        part_from_shard(server, report->shard + 1);
    else if (removals_begin(&server->removals, &error) != CAIRN_OK)
        end_removal(server, report->job, error.message);
}

static void serve_removals(struct server *server)
{
    struct removal removal;

    while (removals_hear(&server->removals, &removal)) {
        if (removals_is_first(&server->removals, removal.job))
            end_removal(server, removal.job, removal.problem);
    }
}

/* ---- from the coordinator */

static void handle_committed(struct server *server, const Cairn__CommittedCommand *committed)
{
    tally_confirm(server->tallies, committed->job, committed->incarnation, committed->step);
    shards_tell(server, SHARD_COMMAND_COMMITTED, committed->job, committed->incarnation, committed->step);
}

static void forgo(struct server *server, uint64_t job, uint64_t incarnation, uint64_t step)
{
    tally_forgo(server->tallies, job, incarnation, step);
    shards_tell(server, SHARD_COMMAND_FORGO, job, incarnation, step);
}

static void handle_abandon(struct server *server, const Cairn__AbandonCommand *abandon)
{
    forgo(server, abandon->job, abandon->incarnation, abandon->step);
}

static void handle_release(struct server *server, const Cairn__ReleaseCommand *release)
{
    log_info("job_released", "job=%" PRIu64, release->job);
    tally_end(server->tallies, release->job, release->incarnation);
    member_disengage(server->member, release->job, release->incarnation);
    shards_tell(server, SHARD_COMMAND_RELEASE, release->job, release->incarnation, 0);
}

/* Shards of jobs of mode sync pass it over: there an epoch concerns workers only. */
static void handle_epoch(struct server *server, const Cairn__EpochCommand *epoch)
{
    struct shard_command command = {
        .kind = SHARD_COMMAND_EPOCH, .job = epoch->job, .incarnation = epoch->incarnation};

    for (uint32_t i = 0; i < server->shard_count; i++) {
        command.roster = roster_of(epoch);
        if (!command.roster) {
            telling_failed(server->member, epoch->job, epoch->incarnation, "out of memory for an epoch");
            return;
        }
        if (!shard_tell(server, i, &command))
            free(command.roster);
    }
}

static void handle_command(struct server *server, const Cairn__NodeCommand *command)
{
    switch (command->body_case) {
    case CAIRN__NODE_COMMAND__BODY_PREPARE:
        handle_prepare(server, command->prepare);
        break;
    case CAIRN__NODE_COMMAND__BODY_COMMIT:
        shards_tell(server, SHARD_COMMAND_COMMIT, command->commit->job, command->commit->incarnation,
                    command->commit->step);
        break;
    case CAIRN__NODE_COMMAND__BODY_COMMITTED:
        handle_committed(server, command->committed);
        break;
    case CAIRN__NODE_COMMAND__BODY_ABANDON:
        handle_abandon(server, command->abandon);
        break;
    case CAIRN__NODE_COMMAND__BODY_HOLD:
        handle_hold(server, command->hold);
        break;
    case CAIRN__NODE_COMMAND__BODY_EXTEND:
        handle_extend(server, command->extend->prepare);
        break;
    case CAIRN__NODE_COMMAND__BODY_GO_ON:
        shards_tell(server, SHARD_COMMAND_GO_ON, command->go_on->job, command->go_on->incarnation, 0);
        break;
    case CAIRN__NODE_COMMAND__BODY_MAP:
        handle_map(server, command->map);
        break;
    case CAIRN__NODE_COMMAND__BODY_EPOCH:
        handle_epoch(server, command->epoch);
        break;
    case CAIRN__NODE_COMMAND__BODY_RELEASE:
        handle_release(server, command->release);
        break;
    case CAIRN__NODE_COMMAND__BODY_REMOVE:
        handle_remove(server, command->remove);
        break;
    case CAIRN__NODE_COMMAND__BODY_DISMISS:
        log_info("dismissed", "coordinator=%s", server->settings->coordinator);
        server->is_dismissed = true;
        break;
    default:
        log_warn("command_ignored", "body=%d reason=\"not for a server\"", (int)command->body_case);
    }
}

/* Repeats what stands of a job's reports, as the coordinator may not have heard it. */
static void tell_standing(void *context, const struct tally_standing *standing)
{
    struct server *server = context;

    if (standing->is_prepared)
        telling_prepared(server->member, standing->job, standing->incarnation);
    if (standing->is_prepared && standing->durable_step > 0)
        telling_committed(server->member, standing->job, standing->incarnation, standing->durable_step);
    if (standing->is_prepared && standing->passed_step > 0)
        telling_passed(server->member, standing->job, standing->incarnation, standing->passed_after,
                       standing->passed_step);
}

/* Lets the shards know when nobody confirms their generations, and when somebody does again. */
static void watch_coordinator(struct server *server)
{
    bool is_away = !member_hears(server->member);

    if (is_away == server->is_away)
        return;
    server->is_away = is_away;
    shards_tell(server, is_away ? SHARD_COMMAND_AWAY : SHARD_COMMAND_BACK, 0, 0, 0);
}

/* Does what is due; CAIRN_CLOSED: the coordinator refused this node. */
static enum status serve_coordinator(struct server *server, struct error *error)
{
    Cairn__NodeCommand *command;
    enum status status;

    while ((status = member_receive(server->member, &command, error)) == CAIRN_OK) {
        handle_command(server, command);
        cairn__node_command__free_unpacked(command, NULL);
    }
    if (member_take_welcome(server->member))
        tally_visit(server->tallies, tell_standing, server);
    if (status == CAIRN_AGAIN)
        return CAIRN_OK;
    if (status != CAIRN_CLOSED) {
        log_warn("coordinator_lost", "reason=\"%s\"", error->message);
        return CAIRN_OK;
    }
    return status;
}

/* ---- from the shards */

/* Shards that wait for a generation to be the job's, which another shard of this server has dropped while the
 * coordinator was away, wait no more. */
static void take_back(struct server *server, const struct shard_report *report)
{
    struct shard_command command = {
        .kind = SHARD_COMMAND_FORGO, .job = report->job, .incarnation = report->incarnation};

    for (uint32_t i = 0; i < server->shard_count; i++) {
        if (tally_takes_back(server->tallies, report->job, i, &command.step))
            shard_tell(server, i, &command);
    }
}

static void handle_report(struct server *server, const struct shard_report *report)
{
    switch (tally_report(server->tallies, report)) {
    case TALLY_WAITS:
        if (report->kind == SHARD_COMMITTED)
            take_back(server, report);
        break;
    case TALLY_PREPARED:
        telling_prepared(server->member, report->job, report->incarnation);
        break;
    case TALLY_COMMITTED:
        telling_committed(server->member, report->job, report->incarnation, report->step);
        break;
    case TALLY_REFUSED:
        telling_refused(server->member, report);
        break;
    case TALLY_SPLIT:
        forgo(server, report->job, report->incarnation, report->step);
        telling_split(server->member, report);
        break;
    case TALLY_FAILED:
        telling_failed(server->member, report->job, report->incarnation, report->message);
        break;
    case TALLY_HELD:
        telling_held(server->member, report, tally_newest(server->tallies, report->job));
        break;
    case TALLY_EXTENDED:
        telling_extended(server->member, report);
        break;
    case TALLY_DIVERGED:
        telling_divergence(server->member, report, &server->divergences);
        break;
    case TALLY_MAPPED:
        telling_mapped(server->member, report);
        break;
    case TALLY_COPIED:
        telling_copied(server->member, report, tally_counts_from(server->tallies, report->job, report->step));
        break;
    case TALLY_PASSED:
        telling_passed(server->member, report->job, report->incarnation, report->after, report->step);
        take_back(server, report);
        break;
    }
}

/* A shard that others waited for may have nothing any more. */
static void tell_whole(struct server *server, const struct shard_report *report)
{
    uint64_t step;

    if (report->kind == SHARD_MAPPED && tally_is_whole(server->tallies, report->job, &step))
        telling_committed(server->member, report->job, report->incarnation, step);
}

static void serve_shard(struct server *server, uint32_t shard)
{
    struct shard_report report;

    while (actor_hear(server->shards[shard], &report, sizeof(report), NULL) == CAIRN_OK) {
        if (report.kind == SHARD_REMOVED) {
            go_on_removing(server, &report);
            continue;
        }
        handle_report(server, &report);
        tell_whole(server, &report);
    }
}

/* ---- the loop */

enum { ITEM_COORDINATOR, ITEM_LINK, ITEM_STOP, ITEM_REMOVALS, ITEM_SHARDS };

static void items_fill(struct server *server, zmq_pollitem_t *items)
{
    items[ITEM_COORDINATOR] = (zmq_pollitem_t){member_socket(server->member), 0, ZMQ_POLLIN, 0};
    items[ITEM_LINK] = (zmq_pollitem_t){member_link(server->member), 0, ZMQ_POLLIN, 0};
    items[ITEM_STOP] = (zmq_pollitem_t){NULL, server->stop_descriptor, ZMQ_POLLIN, 0};
    items[ITEM_REMOVALS] = (zmq_pollitem_t){actor_pipe(server->removals.thread), 0, ZMQ_POLLIN, 0};
    for (uint32_t i = 0; i < server->shard_count; i++)
        items[ITEM_SHARDS + i] = (zmq_pollitem_t){actor_pipe(server->shards[i]), 0, ZMQ_POLLIN, 0};
}

static long wait_ms(const struct server *server)
{
    int64_t left = member_deadline_ms(server->member) - clock_ms();

    return left > 0 ? (long)left : 0;
}

static enum status serve(struct server *server, struct error *error)
{
    zmq_pollitem_t items[ITEM_SHARDS + SERVER_SHARDS_MAX];
    enum status status = CAIRN_OK;

    items_fill(server, items);
    while (status == CAIRN_OK && (!server->is_dismissed || server->removals.count > 0)) {
        if (zmq_poll(items, (int)(ITEM_SHARDS + server->shard_count), wait_ms(server)) < 0 &&
            zmq_errno() != EINTR)
            return error_set(error, CAIRN_IO, "cannot poll: %s", zmq_strerror(zmq_errno()));
        if (items[ITEM_STOP].revents)
            return CAIRN_OK;
        for (uint32_t i = 0; i < server->shard_count; i++) {
            if (items[ITEM_SHARDS + i].revents)
                serve_shard(server, i);
        }
        serve_removals(server);
        status = serve_coordinator(server, error);
        watch_coordinator(server);
    }
    return status;
}

/* ---- start and stop */

/* One thread moves bytes for two shards. */
static enum status context_widen(const struct server *server, struct error *error)
{
    if (zmq_ctx_set(server->context, ZMQ_IO_THREADS, (int)(server->shard_count + 1) / 2) != 0)
        return error_system(error, zmq_errno(), "cannot start messaging threads");
    return CAIRN_OK;
}

static enum status arrays_make(struct server *server, struct error *error)
{
    uint32_t count = server->shard_count;

    server->params = calloc(count, sizeof(server->params[0]));
    server->listen = calloc(count, sizeof(server->listen[0]));
    server->endpoints = calloc(count, sizeof(server->endpoints[0]));
    server->shards = calloc(count, sizeof(server->shards[0]));
    server->registration.endpoints = calloc(count, sizeof(server->registration.endpoints[0]));
    server->tallies = tallies_new(count);
    if (!server->params || !server->listen || !server->endpoints || !server->shards ||
        !server->registration.endpoints || !server->tallies)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    return CAIRN_OK;
}

static enum status shard_start(struct server *server, uint32_t shard, struct error *error)
{
    struct shard_actor_params *params = &server->params[shard];
    char name[16];
    enum status status = endpoint_listen(server->settings->listen, shard, server->listen[shard],
                                         sizeof(server->listen[shard]), error);

    if (status != CAIRN_OK)
        return status;
    params->owner = (struct job_store_owner){server->settings->data, server->identity.name, shard};
    params->memory_bytes =
        ((uint64_t)server->settings->memory + server->shard_count - 1) / server->shard_count;
    params->listen = server->listen[shard];
    snprintf(name, sizeof(name), "shard-%" PRIu32, shard % 100000);
    status = actor_start(server->context, name, shard_actor_run, params, &server->shards[shard], error);
    if (status != CAIRN_OK)
        return status;
    return endpoint_advertise(params->bound, server->settings->advertise, server->identity.host,
                              server->endpoints[shard], sizeof(server->endpoints[shard]), error);
}

static enum status join_cluster(struct server *server, struct error *error)
{
    Cairn__Registration *registration = &server->registration;

    registration->kind = CAIRN__NODE_KIND__NODE_KIND_SERVER;
    registration->name = server->identity.name;
    registration->host = server->identity.host;
    registration->process = (uint32_t)getpid();
    registration->version = (char *)CAIRN_VERSION;
    registration->n_endpoints = server->shard_count;
    for (uint32_t i = 0; i < server->shard_count; i++)
        registration->endpoints[i] = server->endpoints[i];
    return member_new(server->context, server->settings->coordinator, registration, &server->member, error);
}

static enum status server_init(struct server *server, const struct server_settings *settings,
                               struct error *error)
{
    enum status status;

    server->settings = settings;
    server->shard_count = (uint32_t)settings->shards;
    cairn__registration__init(&server->registration);
    status = identity_init(&server->identity, settings->data, settings->name, error);
    if (status == CAIRN_OK)
        status = arrays_make(server, error);
    if (status == CAIRN_OK)
        status = context_widen(server, error);
    for (uint32_t i = 0; i < server->shard_count && status == CAIRN_OK; i++)
        status = shard_start(server, i, error);
    if (status == CAIRN_OK)
        status = removals_init(&server->removals, server->context, server->settings->data, error);
    if (status == CAIRN_OK)
        status = join_cluster(server, error);
    return status;
}

static void server_fini(struct server *server)
{
    member_free(server->member, "stopped");
    removals_fini(&server->removals);
    for (uint32_t i = 0; server->shards && i < server->shard_count; i++)
        actor_stop(server->shards[i]);
    tallies_free(server->tallies);
    free(server->registration.endpoints);
    free(server->shards);
    free(server->endpoints);
    free(server->listen);
    free(server->params);
    identity_fini(&server->identity);
}

enum status server_run(const struct server_settings *settings, void *zmq_context, int stop_descriptor,
                       struct error *error)
{
    struct server server = {.context = zmq_context, .stop_descriptor = stop_descriptor};
    struct job_store_survey survey;
    enum status status;

    if (settings->shards < 1 || settings->shards > SERVER_SHARDS_MAX)
        return error_set(error, CAIRN_INVALID, "a server has 1 to %d shards", SERVER_SHARDS_MAX);
    status = server_init(&server, settings, error);
    if (status == CAIRN_OK) {
        survey = job_store_survey(settings->data);
        log_info("data_found", "data=\"%s\" jobs=%" PRIu32 " stores=%" PRIu32 " bytes=%" PRIu64,
                 settings->data, survey.jobs, survey.stores, survey.bytes);
        log_info("started", "name=%s shards=%" PRIu32 " endpoint=%s data=\"%s\" coordinator=%s",
                 server.identity.name, server.shard_count, server.endpoints[0], settings->data,
                 settings->coordinator);
        status = serve(&server, error);
    }
    server_fini(&server);
    return status;
}
