/* Putting nodes to work. */
#include "scheduling.h"

#include "allocation.h"
#include "chains.h"
#include "commits.h"
#include "epochs.h"
#include "growth.h"
#include "life.h"
#include "server_choice.h"
#include "trials.h"

#include <stdlib.h>

/* Workers of one job are told apart by their place when they joined at the same time. */
#define PLACES_MAX 8192

/* One pass over the cluster: the jobs that want workers, and the workers that may be moved. */
struct pass {
    int64_t now_ms;
    struct job_entry **entries;
    struct claim *claims;
    size_t claim_count;
    struct node **workers;
    struct hand *hands;
    size_t hand_count;
};

/* Most jobs that a coordinator knows have ended. */
static size_t count_open(const struct jobs *jobs)
{
    size_t count = 0;

    for (size_t i = 0; i < jobs->count; i++)
        count += !entry_has_ended(jobs->items[i]);
    return count;
}

static bool pass_init(struct turn *turn, struct pass *pass, const struct jobs *jobs,
                      const struct nodes *nodes)
{
    size_t job_count = count_open(jobs) + 1, node_count = nodes->count + 1;

    *pass = (struct pass){
        .now_ms = turn->now.monotonic_ms,
        .entries = calloc(job_count, sizeof(pass->entries[0])),
        .claims = calloc(job_count, sizeof(pass->claims[0])),
        .workers = calloc(node_count, sizeof(pass->workers[0])),
        .hands = calloc(node_count, sizeof(pass->hands[0])),
    };
    if (pass->entries && pass->claims && pass->workers && pass->hands)
        return true;
    turn->effects->failed = true;
    return false;
}

static void pass_fini(struct pass *pass)
{
    free(pass->entries);
    free(pass->claims);
    free(pass->workers);
    free(pass->hands);
}

/* ---- who wants how many */

static void add_claim(struct pass *pass, struct job_entry *entry, uint32_t minimum, uint32_t target)
{
    pass->entries[pass->claim_count] = entry;
    pass->claims[pass->claim_count++] =
        (struct claim){.minimum = minimum, .target = target, .gathers = entry_is_live(entry)};
}

/* A job that ends keeps whom it has, and takes others only if it could not end without. */
static void claim_live(struct pass *pass, struct job_entry *entry)
{
    Cairn__JobState state = entry_status(entry)->state;
    struct epochs_need need = epochs_need(entry);
    uint32_t count = (uint32_t)entry->workers.count;

    if (state == JOB_STATE(COMMITTING) || entry->awaited_count > 0 || need.most == 0)
        return;
    if (state == JOB_STATE(STOPPING))
        need.least = need.most = count > need.least ? count : need.least;
    add_claim(pass, entry, need.least, need.most);
}

static void explain(struct turn *turn, struct job_entry *entry, const struct server_choice *choice,
                    uint32_t available)
{
    struct line line = choice->missing;

    if (!entry_has_tables(entry))
        epochs_explain_lack(entry, available, &line);
    if (line.length > 0)
        entry_wait(turn, entry, line.text);
}

/* Whether nothing keeps a worker from a job but, for a while, that it has just failed at it. */
static bool may_work(const struct node *node, const struct job_entry *entry)
{
    return !node->draining && !trials_exclude_it(entry, node_name(node));
}

/* A job that stops ends without those whom it lacks, and so lets nobody rest; after a resume nobody has
 * failed yet. */
static bool rests(const struct pass *pass, const struct node *node, const struct job_entry *entry)
{
    return node->failed_job == entry_status(entry)->number && pass->now_ms < node->rest_until_ms &&
           entry_status(entry)->state != JOB_STATE(STOPPING) && entry->record->trials;
}

static bool may_work_now(const struct pass *pass, const struct node *node, const struct job_entry *entry)
{
    return may_work(node, entry) && !rests(pass, node, entry);
}

/* How many of a claim's workers, or of the idle ones, could work for a job; at most so many. */
static uint32_t count_fitting(const struct pass *pass, size_t claim, const struct job_entry *entry,
                              uint32_t most)
{
    uint32_t count = 0;

    for (size_t i = 0; i < pass->hand_count && count < most; i++)
        count += pass->hands[i].claim == claim && may_work_now(pass, pass->workers[i], entry);
    return count;
}

/* How many more workers a job could have at once: idle ones, and those that others have beyond their minima.
 */
static uint32_t count_available(const struct pass *pass, const struct job_entry *entry)
{
    uint32_t count = count_fitting(pass, ALLOCATION_FREE, entry, UINT32_MAX);

    for (size_t i = 0; i < pass->claim_count; i++) {
        const struct claim *claim = &pass->claims[i];

        if (claim->count > claim->minimum)
            count += count_fitting(pass, i, entry, claim->count - claim->minimum);
    }
    return count;
}

static bool is_unplaced(const struct job_entry *entry)
{
    return !entry_has_ended(entry) && !entry_is_live(entry);
}

/* A job that is not live claims workers when its servers are there, or, with tables, begins. */
static void claim_unplaced(struct turn *turn, struct pass *pass, struct job_entry *entry,
                           const struct nodes *nodes)
{
    struct server_choice choice;
    struct crew crew = {0};

    if (server_choice_init(turn, entry, nodes, &choice) && choice.missing.length == 0) {
        crew.servers = choice.servers;
        crew.server_count = choice.count;
        if (entry_has_tables(entry))
            life_prepare(turn, entry, &crew);
        else
            add_claim(pass, entry, entry_minimum(entry), entry_target(entry));
    }
    server_choice_fini(&choice);
}

static bool claims(const struct pass *pass, const struct job_entry *entry)
{
    for (size_t i = 0; i < pass->claim_count; i++) {
        if (pass->entries[i] == entry)
            return true;
    }
    return false;
}

/* ---- who may be moved */

static size_t claim_of(const struct pass *pass, const struct job_entry *entry)
{
    for (size_t i = 0; i < pass->claim_count; i++) {
        if (pass->entries[i] == entry)
            return i;
    }
    return ALLOCATION_FREE;
}

/* Those that still prepare are the last ones. */
static int64_t joined(struct job_entry *entry, const struct node *node)
{
    const struct participant *worker = entry_participant(entry, node);

    if (worker->number == 0)
        return INT64_MAX - PLACES_MAX + (worker - entry->workers.items);
    return worker->joined_ms * PLACES_MAX + (worker - entry->workers.items);
}

static void list_workers(struct pass *pass, const struct nodes *nodes)
{
    for (size_t i = 0; i < nodes->count; i++) {
        struct node *node = nodes->items[i];
        struct hand hand = {.claim = ALLOCATION_FREE};

        if (node->rest_until_ms <= pass->now_ms)
            node->failed_job = 0;
        if (!node_is_worker(node) || node->draining || (node->job && !claims(pass, node->job)))
            continue;
        if (node->job) {
            hand.claim = claim_of(pass, node->job);
            hand.joined = joined(node->job, node);
        }
        pass->workers[pass->hand_count] = node;
        pass->hands[pass->hand_count++] = hand;
    }
}

static bool fits(const void *context, size_t hand, size_t claim)
{
    const struct pass *pass = context;

    return may_work_now(pass, pass->workers[hand], pass->entries[claim]);
}

/* ---- moving them */

static void release_moved(struct turn *turn, struct pass *pass)
{
    for (size_t i = 0; i < pass->hand_count; i++) {
        struct node *node = pass->workers[i];
        struct job_entry *entry = node->job;

        if (!entry || claim_of(pass, entry) == pass->hands[i].claim)
            continue;
        entry_tell(turn, entry, "worker %s is taken from the job", node_name(node));
        life_release_worker(turn, entry, node);
    }
}

static void join_moved(struct turn *turn, struct pass *pass)
{
    for (size_t i = 0; i < pass->hand_count; i++) {
        struct node *node = pass->workers[i];

        if (pass->hands[i].claim == ALLOCATION_FREE || node->job)
            continue;
        if (entry_is_live(pass->entries[pass->hands[i].claim]))
            life_join(turn, pass->entries[pass->hands[i].claim], node);
    }
}

/* The job's servers are there, and so are the workers that it got. */
static void start(struct turn *turn, struct pass *pass, size_t claim, const struct nodes *nodes)
{
    struct job_entry *entry = pass->entries[claim];
    struct server_choice choice;
    struct crew crew = {.workers = calloc(pass->hand_count + 1, sizeof(struct node *))};

    if (!crew.workers)
        turn->effects->failed = true;
    for (size_t i = 0; crew.workers && i < pass->hand_count; i++) {
        if (pass->hands[i].claim == claim)
            crew.workers[crew.worker_count++] = pass->workers[i];
    }
    if (server_choice_init(turn, entry, nodes, &choice) && crew.workers) {
        crew.servers = choice.servers;
        crew.server_count = choice.count;
        life_prepare(turn, entry, &crew);
    }
    server_choice_fini(&choice);
    free(crew.workers);
}

static void start_unplaced(struct turn *turn, struct pass *pass, const struct nodes *nodes)
{
    for (size_t i = 0; i < pass->claim_count; i++) {
        if (!entry_is_live(pass->entries[i]) && pass->claims[i].count > 0 &&
            pass->claims[i].count >= pass->claims[i].minimum)
            start(turn, pass, i, nodes);
    }
}

/* ---- the pass */

/* A worker has failed, and nobody in the cluster may work for the job; those who are awaited may yet. */
static void give_up_if_all_failed(struct turn *turn, struct job_entry *entry, const struct nodes *nodes)
{
    if (!entry->has_new_failure || entry->awaited_count > 0)
        return;
    entry->has_new_failure = false;
    if (entry->workers.count > 0)
        return;
    for (size_t i = 0; i < nodes->count; i++) {
        if (node_is_worker(nodes->items[i]) && may_work(nodes->items[i], entry))
            return;
    }
    (void)trials_give_up(turn, entry);
}

static void look_at(struct turn *turn, struct pass *pass, struct job_entry *entry, const struct nodes *nodes)
{
    give_up_if_all_failed(turn, entry, nodes);
    epochs_recycle(turn, entry);
    if (is_unplaced(entry))
        claim_unplaced(turn, pass, entry, nodes);
    else if (!entry_has_ended(entry) && !entry_has_tables(entry))
        claim_live(pass, entry);
}

static void explain_unplaced(struct turn *turn, const struct pass *pass, struct job_entry *entry,
                             const struct nodes *nodes)
{
    struct server_choice choice;

    if (server_choice_init(turn, entry, nodes, &choice))
        explain(turn, entry, &choice, count_available(pass, entry));
    server_choice_fini(&choice);
}

static void dismiss(struct turn *turn, const struct jobs *jobs, struct node *node)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__DismissCommand body = CAIRN__DISMISS_COMMAND__INIT;

    if (!node->draining || node->dismissed)
        return;
    for (size_t i = 0; i < jobs->count; i++) {
        if (entry_participant(jobs->items[i], node) ||
            (!node_is_worker(node) && server_is_needed(jobs->items[i], node)))
            return;
    }
    command.body_case = CAIRN__NODE_COMMAND__BODY_DISMISS;
    command.dismiss = &body;
    node_command(turn, node, &command);
    node->dismissed = true;
}

void schedule(struct turn *turn, struct jobs *jobs, const struct nodes *nodes)
{
    struct pass pass;

    if (!pass_init(turn, &pass, jobs, nodes))
        goto out;
    for (size_t i = 0; i < jobs->count; i++) {
        if (!entry_has_ended(jobs->items[i]))
            look_at(turn, &pass, jobs->items[i], nodes);
    }
    list_workers(&pass, nodes);
    allocate(pass.claims, pass.claim_count, pass.hands, pass.hand_count, fits, &pass);
    release_moved(turn, &pass);
    start_unplaced(turn, &pass, nodes);
    join_moved(turn, &pass);
    for (size_t i = 0; i < jobs->count && !turn->effects->failed; i++) {
        if (is_unplaced(jobs->items[i]))
            explain_unplaced(turn, &pass, jobs->items[i], nodes);
        commits_update(turn, jobs->items[i]);
        growth_update(turn, jobs->items[i]);
        chains_update(turn, jobs->items[i], nodes);
        chains_note_leavers(turn, jobs->items[i]);
        epochs_update(turn, jobs->items[i]);
    }
    for (size_t i = 0; i < nodes->count; i++)
        dismiss(turn, jobs, nodes->items[i]);
out:
    pass_fini(&pass);
}

int64_t schedule_deadline_ms(const struct jobs *jobs, const struct nodes *nodes)
{
    int64_t deadline_ms = INT64_MAX;

    for (size_t i = 0; i < nodes->count; i++) {
        const struct node *node = nodes->items[i];

        if (node->failed_job != 0 && node->rest_until_ms < deadline_ms)
            deadline_ms = node->rest_until_ms;
    }
    for (size_t i = 0; i < jobs->count; i++) {
        const struct job_entry *entry = jobs->items[i];
        int64_t due_ms = entry->awaited_count > 0 ? entry->awaited_until_ms : server_wait_deadline_ms(entry);

        due_ms = due_ms < chains_deadline_ms(entry) ? due_ms : chains_deadline_ms(entry);
        deadline_ms = due_ms < deadline_ms ? due_ms : deadline_ms;
    }
    return deadline_ms;
}
