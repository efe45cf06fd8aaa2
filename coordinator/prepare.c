/* From pending to running: shards are placed, nodes prepare, the epoch begins. */
#include "life.h"

#include "cluster/placement.h"
#include "net/wire.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void free_shards(Cairn__JobRecord *record)
{
    for (size_t i = 0; i < record->n_shards; i++)
        message_free(record->shards[i]);
    free(record->shards);
    free(record->slot_shards);
    record->shards = NULL;
    record->slot_shards = NULL;
    record->n_shards = 0;
    record->n_slot_shards = 0;
}

static size_t count_shards(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < crew->server_count; i++)
        count += crew->servers[i]->registration->n_endpoints;
    return count;
}

static Cairn__Shard *shard_new(struct turn *turn, const struct node *server, uint32_t index)
{
    Cairn__Shard *shard = malloc(sizeof(*shard));

    if (!shard) {
        turn->effects->failed = true;
        return NULL;
    }
    cairn__shard__init(shard);
    shard->index = index;
    turn_set_text(turn, &shard->server, "%s", node_name(server));
    turn_set_text(turn, &shard->endpoint, "%s", server->registration->endpoints[index]);
    return shard;
}

/* One shard of the record a shard thread of the servers, in their order. */
static void list_shards(struct turn *turn, Cairn__JobRecord *record, const struct crew *crew)
{
    record->shards = calloc(count_shards(crew), sizeof(Cairn__Shard *));
    if (!record->shards) {
        turn->effects->failed = true;
        return;
    }
    for (size_t i = 0; i < crew->server_count; i++) {
        for (size_t j = 0; j < crew->servers[i]->registration->n_endpoints; j++) {
            Cairn__Shard *shard = shard_new(turn, crew->servers[i], (uint32_t)j);

            if (!shard)
                return;
            record->shards[record->n_shards++] = shard;
        }
    }
}

static void place(struct turn *turn, struct job_entry *entry, const struct crew *crew)
{
    Cairn__JobRecord *record = entry->record;
    uint32_t slots = job_slot_count(entry->job);

    free_shards(record);
    list_shards(turn, record, crew);
    record->slot_shards = calloc(slots, sizeof(record->slot_shards[0]));
    if (!record->slot_shards || turn->effects->failed) {
        turn->effects->failed = true;
        return;
    }
    record->n_slot_shards = slots;
    placement_assign(record->slot_shards, slots, (uint32_t)record->n_shards);
}

/* Servers come back under other endpoints; the shards keep their places. */
static void find_endpoints(struct turn *turn, struct job_entry *entry, const struct crew *crew)
{
    Cairn__JobRecord *record = entry->record;
    size_t next = 0;

    for (size_t i = 0; i < crew->server_count; i++) {
        const Cairn__Registration *server = crew->servers[i]->registration;

        for (size_t j = 0; j < server->n_endpoints && next < record->n_shards; j++)
            turn_set_text(turn, &record->shards[next++]->endpoint, "%s", server->endpoints[j]);
    }
}

static void participants_fill(struct turn *turn, struct participants *participants, struct node **nodes,
                              size_t count)
{
    if (count == 0)
        return;
    participants->items = calloc(count, sizeof(participants->items[0]));
    if (!participants->items) {
        turn->effects->failed = true;
        return;
    }
    participants->count = count;
    for (size_t i = 0; i < count; i++)
        participants->items[i].node = nodes[i];
}

/* Whether any of the job's state lies on the server: small models have fewer chunks than there may be shards.
 */
static bool holds_state(const struct job_entry *entry, const struct node *server)
{
    const Cairn__JobRecord *record = entry->record;

    if (record->n_slot_shards != job_slot_count(entry->job))
        return true; /* a record that does not fit its job: the server will say so */
    for (uint32_t slot = 0; slot < record->n_slot_shards; slot++) {
        if (strcmp(record->shards[record->slot_shards[slot]]->server, node_name(server)) == 0 &&
            job_slot_has_state(entry->job, slot))
            return true;
    }
    return false;
}

/* A server without state has no generations to make, and so every one of them. */
static uint64_t first_generation(const struct job_entry *entry, const struct node *server)
{
    return holds_state(entry, server) ? entry->record->status->committed_step : UINT64_MAX;
}

static void enlist(struct turn *turn, struct job_entry *entry, const struct crew *crew)
{
    participants_fill(turn, &entry->servers, crew->servers, crew->server_count);
    participants_fill(turn, &entry->workers, crew->workers, crew->worker_count);
    for (size_t i = 0; i < entry->servers.count; i++)
        entry->servers.items[i].committed_step = first_generation(entry, entry->servers.items[i].node);
    for (size_t i = 0; i < entry->workers.count; i++)
        entry->workers.items[i].node->job = entry;
    entry_status(entry)->servers = (uint32_t)entry->servers.count;
    entry_status(entry)->workers = (uint32_t)entry->workers.count;
}

void life_describe(const struct job_entry *entry, uint64_t step, Cairn__PrepareCommand *body)
{
    const Cairn__JobRecord *record = entry->record;

    cairn__prepare_command__init(body);
    body->job = record->status->number;
    body->job_id = record->status->id;
    body->incarnation = record->status->incarnation;
    body->text = record->text;
    body->n_shards = record->n_shards;
    body->shards = record->shards;
    body->n_slot_shards = record->n_slot_shards;
    body->slot_shards = record->slot_shards;
    body->step = step;
}

void life_count_holders(struct job_entry *entry, uint64_t step)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        struct participant *server = &entry->servers.items[i];

        if (server->committed_step != UINT64_MAX || !holds_state(entry, server->node))
            continue;
        server->committed_step = entry_status(entry)->committed_step;
        server->empty_until = step;
    }
}

static void send_prepare(struct turn *turn, struct job_entry *entry)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__PrepareCommand body;

    life_describe(entry, entry_status(entry)->committed_step, &body);
    command.body_case = CAIRN__NODE_COMMAND__BODY_PREPARE;
    command.prepare = &body;
    participants_command(turn, &entry->servers, &command);
    participants_command(turn, &entry->workers, &command);
}

static void add_names(struct line *line, const struct participants *participants)
{
    for (size_t i = 0; i < participants->count; i++)
        line_add(line, "%s%s", i ? ", " : "", node_name(participants->items[i].node));
}

void life_prepare(struct turn *turn, struct job_entry *entry, const struct crew *crew)
{
    Cairn__JobStatus *status = entry_status(entry);
    struct line line = {.length = 0};

    if (status->committed_step == 0)
        place(turn, entry, crew);
    else
        find_endpoints(turn, entry, crew);
    if (turn->effects->failed)
        return;
    enlist(turn, entry, crew);
    if (turn->effects->failed)
        return;
    turn_set_text(turn, &status->reason, "%s", "");
    status->started_ms = turn->now.unix_ms;
    entry_set_state(entry, JOB_STATE(PREPARING));
    line_add(&line, "preparing from step %" PRIu64 " on servers ", status->committed_step);
    add_names(&line, &entry->servers);
    if (entry->workers.count > 0) {
        line_add(&line, " and workers ");
        add_names(&line, &entry->workers);
    }
    entry_tell(turn, entry, "%s", line.text);
    send_prepare(turn, entry);
}

static bool all_prepared(const struct participants *participants)
{
    for (size_t i = 0; i < participants->count; i++) {
        if (!participants->items[i].prepared)
            return false;
    }
    return true;
}

/* Whether all workers see the same data, and the same as when the job's state was made; else the job fails.
 */
static bool check_samples(struct turn *turn, struct job_entry *entry)
{
    const struct participant *first = &entry->workers.items[0];
    const Cairn__JobRecord *record = entry->record;

    for (size_t i = 1; i < entry->workers.count; i++) {
        const struct participant *other = &entry->workers.items[i];

        if (other->training_samples == first->training_samples &&
            other->validation_samples == first->validation_samples)
            continue;
        life_fail(turn, entry,
                  "workers disagree about the data: %s sees %" PRIu64 " training and %" PRIu64
                  " validation samples, %s %" PRIu64 " and %" PRIu64,
                  node_name(first->node), first->training_samples, first->validation_samples,
                  node_name(other->node), other->training_samples, other->validation_samples);
        return false;
    }
    if (first->training_samples == 0) {
        life_fail(turn, entry, "the training data has no samples");
        return false;
    }
    if (record->status->committed_step > 0 && record->training_samples != first->training_samples) {
        life_fail(turn, entry,
                  "the training data has changed: it had %" PRIu64
                  " samples when the job began, and has %" PRIu64 " now",
                  record->training_samples, first->training_samples);
        return false;
    }
    return true;
}

/* What is known of the training's length once the data is. */
static bool set_length(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);
    uint64_t samples = entry->workers.items[0].training_samples;
    uint64_t steps_per_epoch = job_steps_per_epoch(entry->job, samples);
    uint64_t final_step = job_final_step(entry->job, samples);

    if (samples > WIRE_SAMPLES_MAX || final_step > WIRE_STEP_MAX) {
        life_fail(turn, entry, "%" PRIu64 " samples in %" PRIu64 " steps are more than can be trained on",
                  samples, final_step);
        return false;
    }
    if (final_step == 0 || final_step < status->committed_step) {
        life_fail(turn, entry,
                  "the job has trained %" PRIu64 " steps already, more than the %" PRIu64
                  " that its file asks for",
                  status->committed_step, final_step);
        return false;
    }
    entry->record->training_samples = samples;
    entry->record->validation_samples = entry->workers.items[0].validation_samples;
    status->final_step = final_step;
    if (entry->job->epochs == 0)
        status->epochs = (uint32_t)((final_step + steps_per_epoch - 1) / steps_per_epoch);
    life_set_step(entry, status->committed_step);
    return true;
}

struct epoch_lists {
    char **workers;
    Cairn__Span *spans, **span_pointers;
    uint64_t *numbers;
};

static bool epoch_lists_init(struct epoch_lists *lists, const struct job_entry *entry, struct line *line)
{
    size_t count = entry->workers.count;

    lists->workers = calloc(count, sizeof(lists->workers[0]));
    lists->spans = calloc(count, sizeof(lists->spans[0]));
    lists->span_pointers = calloc(count, sizeof(lists->span_pointers[0]));
    lists->numbers = calloc(count, sizeof(lists->numbers[0]));
    if (!lists->workers || !lists->spans || !lists->span_pointers || !lists->numbers)
        return false;
    for (size_t i = 0; i < count; i++) {
        Cairn__Span *span = &lists->spans[i];

        cairn__span__init(span);
        placement_span(entry->job->microbatches, (uint32_t)count, (uint32_t)i, &span->begin, &span->end);
        lists->span_pointers[i] = span;
        lists->numbers[i] = i + 1;
        lists->workers[i] = entry->workers.items[i].node->registration->name;
        line_add(line, " %s [%u, %u)", lists->workers[i], span->begin, span->end);
    }
    return true;
}

static void epoch_lists_fini(struct epoch_lists *lists)
{
    free(lists->workers);
    free(lists->spans);
    free(lists->span_pointers);
    free(lists->numbers);
}

/* The same statement to every worker, but that only the first is told where to write the model. Servers know
 * all that they need from their preparation. */
static void send_epoch(struct turn *turn, struct job_entry *entry, Cairn__EpochCommand *epoch)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    char *output = job_path(entry->job, entry->job->output_path);

    if (!output) {
        turn->effects->failed = true;
        return;
    }
    command.body_case = CAIRN__NODE_COMMAND__BODY_EPOCH;
    command.epoch = epoch;
    for (size_t i = 0; i < entry->workers.count; i++) {
        epoch->output = i == 0 ? output : (char *)protobuf_c_empty_string;
        node_command(turn, entry->workers.items[i].node, &command);
    }
    free(output);
}

static void begin_epoch(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);
    Cairn__EpochCommand epoch = CAIRN__EPOCH_COMMAND__INIT;
    struct epoch_lists lists = {0};
    struct line line = {.length = 0};

    if (!epoch_lists_init(&lists, entry, &line)) {
        turn->effects->failed = true;
        goto out;
    }
    status->membership_epoch++;
    epoch.job = status->number;
    epoch.incarnation = status->incarnation;
    epoch.number = status->membership_epoch;
    epoch.first_step = status->committed_step;
    epoch.final_step = status->final_step;
    epoch.n_workers = epoch.n_spans = epoch.n_worker_numbers = entry->workers.count;
    epoch.workers = lists.workers;
    epoch.worker_numbers = lists.numbers;
    epoch.spans = lists.span_pointers;
    entry_set_state(entry, JOB_STATE(RUNNING));
    entry_tell(turn, entry,
               "running, membership epoch %" PRIu64 ", steps %" PRIu64 " to %" PRIu64 ", spans%s",
               epoch.number, epoch.first_step, epoch.final_step, line.text);
    send_epoch(turn, entry, &epoch);
out:
    epoch_lists_fini(&lists);
}

/* Nobody is told: clients ask where the tables are. */
static void open_tables(struct turn *turn, struct job_entry *entry)
{
    life_set_step(entry, entry_status(entry)->committed_step);
    entry_set_state(entry, JOB_STATE(RUNNING));
    entry_tell(turn, entry, "running from step %" PRIu64 ": clients can connect", entry_status(entry)->step);
}

void life_prepared(struct turn *turn, struct job_entry *entry, struct participant *participant,
                   const Cairn__Prepared *prepared)
{
    if (entry_status(entry)->state != JOB_STATE(PREPARING))
        return;
    participant->prepared = true;
    participant->training_samples = prepared->training_samples;
    participant->validation_samples = prepared->validation_samples;
    if (!all_prepared(&entry->servers) || !all_prepared(&entry->workers))
        return;
    if (entry_has_tables(entry))
        open_tables(turn, entry);
    else if (check_samples(turn, entry) && set_length(turn, entry))
        begin_epoch(turn, entry);
}
