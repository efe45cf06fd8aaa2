/* Sums that are wrong. */
#include "faults.h"

#include "cluster/placement.h"
#include "life.h"
#include "throughput.h"

#include <inttypes.h>

#define DIVERGENCES_TOLD 4 /* lines in the log about one step */

/* All steps before the one at fault were done, which may not have been told yet. In throughput modes a
 * worker's steps are its own. */
static void note_steps(struct job_entry *entry, uint64_t step)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (!throughput_is(entry) && step > status->step && step < status->final_step)
        life_set_step(entry, step);
}

void fault_not_finite(struct turn *turn, struct job_entry *entry, struct participant *worker,
                      const Cairn__NotFinite *report)
{
    Cairn__JobState state = entry_status(entry)->state;

    if (!entry_has_begun(entry) || state == JOB_STATE(COMMITTING))
        return;
    note_steps(entry, report->step);
    if (report->layer[0] != '\0') {
        life_fail(turn, entry, "loss is not finite at step %" PRIu64 ", first in layer %s (microbatch %u)",
                  report->step, report->layer, report->microbatch);
        return;
    }
    worker->not_finite = true;
    if (report->step > entry->not_finite_step)
        entry->not_finite_step = report->step;
}

static void add_layers(struct line *line, const struct graph *graph, uint32_t chunk)
{
    const char *between = " (layers ";
    uint64_t begin, end;

    if (chunk >= graph->chunk_count)
        return;
    graph_chunk(graph, chunk, &begin, &end);
    for (uint32_t i = 0; i < graph->layer_count; i++) {
        const struct graph_layer *layer = &graph->layers[i];

        if (layer->parameter_begin >= end || layer->parameter_end <= begin)
            continue;
        line_add(line, "%s%s", between, layer->spec->name);
        between = ", ";
    }
    line_add(line, "%s", between[0] == ',' ? ")" : "");
}

static void add_place(struct line *line, const struct job_entry *entry, const Cairn__Divergence *report)
{
    const struct table_spec *table = job_table(entry->job, report->table);

    if (table)
        line_add(line, "table %s", table->name);
    else if (report->table == TABLE_METRICS)
        line_add(line, "the metrics");
    else if (report->table == TABLE_VALIDATION)
        line_add(line, "the validation");
    else
        line_add(line, "table %u", report->table);
    line_add(line, ", chunk %u", report->chunk);
    if (entry->job->graph && report->table == TABLE_WEIGHTS)
        add_layers(line, entry->job->graph, report->chunk);
}

static void add_worker(struct line *line, const struct job_entry *entry, uint64_t number)
{
    for (size_t i = 0; i < entry->workers.count; i++) {
        if (number > 0 && entry->workers.items[i].number == number) {
            line_add(line, "worker %s", node_name(entry->workers.items[i].node));
            return;
        }
    }
    line_add(line, "worker number %" PRIu64, number);
}

void fault_divergence(struct turn *turn, struct job_entry *entry, const Cairn__Divergence *report)
{
    Cairn__JobStatus *status = entry_status(entry);
    struct line line = {.length = 0};

    status->divergences++;
    entry->revision++;
    if (report->step != entry->divergence_step) {
        entry->divergence_step = report->step;
        entry->divergences_told = 0;
    }
    if (++entry->divergences_told > DIVERGENCES_TOLD)
        return;
    add_worker(&line, entry, report->worker);
    line_add(&line, " has other sums of microbatches [%u, %u) at step %" PRIu64 " than came before: ",
             report->node_begin, report->node_end, report->step);
    add_place(&line, entry, report);
    entry_log(turn, entry, "error", "coordinator", line.text);
    entry->unsaved = true;
}
