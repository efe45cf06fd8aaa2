/* Reports put together. */
#include "tally.h"

#include <stdlib.h>

struct tally {
    struct tally *next;
    uint64_t job, incarnation;
    uint32_t shards, prepared;
    bool failed;
    struct tally_shard {
        bool holds_pieces;
        uint64_t committed_step;
        uint64_t refused_step; /* the newest; 0: none */
    } threads[];
};

struct tallies {
    uint32_t threads;
    struct tally *first;
};

struct tallies *tallies_new(uint32_t threads)
{
    struct tallies *tallies = calloc(1, sizeof(*tallies));

    if (tallies)
        tallies->threads = threads;
    return tallies;
}

void tallies_free(struct tallies *tallies)
{
    if (!tallies)
        return;
    while (tallies->first) {
        struct tally *tally = tallies->first;

        tallies->first = tally->next;
        free(tally);
    }
    free(tallies);
}

static struct tally **link_of(struct tallies *tallies, uint64_t job)
{
    struct tally **link = &tallies->first;

    while (*link && (*link)->job != job)
        link = &(*link)->next;
    return link;
}

enum status tally_begin(struct tallies *tallies, uint64_t job, uint64_t incarnation, uint32_t shards)
{
    struct tally *tally = calloc(1, sizeof(*tally) + tallies->threads * sizeof(tally->threads[0]));

    if (!tally)
        return CAIRN_NO_MEMORY;
    tally_end(tallies, job, UINT64_MAX);
    *tally = (struct tally){.next = tallies->first, .job = job, .incarnation = incarnation, .shards = shards};
    tallies->first = tally;
    return CAIRN_OK;
}

/* Whether all shards with weights have the generation of `step`. */
static bool all_have(const struct tallies *tallies, const struct tally *tally, uint64_t step)
{
    for (uint32_t i = 0; i < tallies->threads; i++) {
        if (tally->threads[i].holds_pieces && tally->threads[i].committed_step < step)
            return false;
    }
    return true;
}

/* What it comes to when a shard has made, or refused, the generation of a step that others refused or made. A
 * shard makes no later one before the job has this one, so a server of two minds could commit nothing more.
 */
static enum tally_outcome judge(const struct tallies *tallies, struct tally *tally, uint64_t step)
{
    uint32_t holders = 0, made = 0, refused = 0;

    for (uint32_t i = 0; i < tallies->threads; i++) {
        const struct tally_shard *shard = &tally->threads[i];

        if (!shard->holds_pieces)
            continue;
        holders++;
        made += shard->committed_step == step;
        refused += shard->refused_step == step && shard->committed_step < step;
    }
    if (made > 0 && refused > 0) {
        tally->failed = true;
        return TALLY_SPLIT;
    }
    if (refused < holders)
        return TALLY_WAITS;
    for (uint32_t i = 0; i < tallies->threads; i++)
        tally->threads[i].refused_step = 0; /* a later generation of this step is another */
    return TALLY_REFUSED;
}

enum tally_outcome tally_report(struct tallies *tallies, const struct shard_report *report)
{
    struct tally *tally = *link_of(tallies, report->job);
    struct tally_shard *shard;

    if (!tally || tally->incarnation != report->incarnation || tally->failed ||
        report->shard >= tallies->threads)
        return TALLY_WAITS;
    shard = &tally->threads[report->shard];
    switch (report->kind) {
    case SHARD_PREPARED:
        shard->holds_pieces = report->holds_pieces;
        return ++tally->prepared == tally->shards ? TALLY_PREPARED : TALLY_WAITS;
    case SHARD_COMMITTED:
        if (report->step > shard->committed_step)
            shard->committed_step = report->step;
        return all_have(tallies, tally, report->step) ? TALLY_COMMITTED : judge(tallies, tally, report->step);
    case SHARD_REFUSED:
        if (report->step > shard->refused_step)
            shard->refused_step = report->step;
        return judge(tallies, tally, report->step);
    case SHARD_FAILED:
        tally->failed = true;
        return TALLY_FAILED;
    }
    return TALLY_WAITS;
}

void tally_end(struct tallies *tallies, uint64_t job, uint64_t incarnation)
{
    struct tally **link = link_of(tallies, job), *tally = *link;

    if (!tally || tally->incarnation > incarnation)
        return;
    *link = tally->next;
    free(tally);
}
