/* Reports put together. */
#include "tally.h"

#include "base/step_range.h"

#include <stdlib.h>

struct tally {
    struct tally *next;
    uint64_t job, incarnation;
    uint32_t shards, prepared;
    uint64_t confirmed_step; /* the job's committed one: all shards with pieces in it hold it */
    uint64_t told_step;      /* the newest that TALLY_COMMITTED or tally_is_whole said */
    uint64_t forgone_step;   /* the newest that another server has none of; 0: none */
    bool failed;
    struct tally_shard {
        bool is_prepared, holds_pieces;
        bool is_late;             /* it made its newest generation when that, or a later one, was forgone */
        uint32_t holds, extends;  /* commands that it has not answered yet */
        uint64_t held_step;       /* where it was when it was held last */
        uint64_t map;             /* the number of the one that it goes by */
        uint64_t empty_until;     /* it holds nothing in generations up to this step */
        uint64_t durable_step;    /* of its newest generation; 0: none since it was prepared */
        uint64_t refused_step;    /* the newest; 0: none */
        struct step_range passed; /* of the generations that it went over last */
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

enum status tally_begin(struct tallies *tallies, uint64_t job, uint64_t incarnation, uint64_t step,
                        uint32_t shards)
{
    struct tally *tally = calloc(1, sizeof(*tally) + tallies->threads * sizeof(tally->threads[0]));

    if (!tally)
        return CAIRN_NO_MEMORY;
    tally_end(tallies, job, UINT64_MAX);
    *tally = (struct tally){.next = tallies->first,
                            .job = job,
                            .incarnation = incarnation,
                            .shards = shards,
                            .confirmed_step = step,
                            .told_step = step};
    tallies->first = tally;
    return CAIRN_OK;
}

void tally_confirm(struct tallies *tallies, uint64_t job, uint64_t incarnation, uint64_t step)
{
    struct tally *tally = *link_of(tallies, job);

    if (tally && tally->incarnation == incarnation && step > tally->confirmed_step)
        tally->confirmed_step = step;
}

/* Whether a shard takes part in the generation of `step`. */
static bool holds(const struct tally_shard *shard, uint64_t step)
{
    return shard->holds_pieces && step > shard->empty_until;
}

/* Takes the newest generation of a shard; false: it was forgone before it was made. */
static bool take_durable(const struct tally *tally, struct tally_shard *shard, uint64_t step)
{
    if (step > shard->durable_step) {
        shard->durable_step = step;
        shard->is_late = step > tally->confirmed_step && step <= tally->forgone_step;
    }
    return !shard->is_late || step != shard->durable_step;
}

/* Whether all shards with weights have the generation of `step`. One that has a later generation need not
 * have this one, unless this one is the job's. */
static bool all_have(const struct tallies *tallies, const struct tally *tally, uint64_t step)
{
    for (uint32_t i = 0; i < tallies->threads && step != tally->confirmed_step; i++) {
        if (holds(&tally->threads[i], step) && tally->threads[i].durable_step != step)
            return false;
    }
    return true;
}

/* What it comes to when a shard has made, or refused, the generation of a step that others refused or made.
 */
static enum tally_outcome judge(const struct tallies *tallies, struct tally *tally, uint64_t step)
{
    uint32_t holders = 0, made = 0, refused = 0;

    for (uint32_t i = 0; i < tallies->threads; i++) {
        const struct tally_shard *shard = &tally->threads[i];

        if (!holds(shard, step))
            continue;
        holders++;
        made += shard->durable_step == step;
        refused += shard->refused_step == step && shard->durable_step < step;
    }
    if (made > 0 && refused > 0)
        return TALLY_SPLIT;
    if (refused < holders)
        return TALLY_WAITS;
    for (uint32_t i = 0; i < tallies->threads; i++)
        tally->threads[i].refused_step = 0; /* a later generation of this step is another */
    return TALLY_REFUSED;
}

static enum tally_outcome take_held(const struct tallies *tallies, struct tally *tally,
                                    const struct shard_report *report)
{
    struct tally_shard *shard = &tally->threads[report->shard];

    shard->held_step = report->step;
    if (shard->holds > 0)
        shard->holds--;
    for (uint32_t i = 0; i < tallies->threads; i++) {
        if (tally->threads[i].holds > 0)
            return TALLY_WAITS;
    }
    return TALLY_HELD;
}

/* A generation that was told, is forgone, or is the job's, was decided without what comes now. */
static uint64_t counts_from(const struct tally *tally, uint64_t step)
{
    step = tally->told_step > step ? tally->told_step : step;
    step = tally->forgone_step > step ? tally->forgone_step : step;
    return tally->confirmed_step > step ? tally->confirmed_step : step;
}

/* A shard that held nothing may hold something now: from the first step that any of its slots counts from. */
static void take_pieces(struct tally *tally, const struct shard_report *report)
{
    struct tally_shard *shard = &tally->threads[report->shard];
    uint64_t step = counts_from(tally, report->step);

    if (report->holds_pieces &&
        (!shard->holds_pieces || (report->kind == SHARD_COPIED && step < shard->empty_until)))
        shard->empty_until = step;
    shard->holds_pieces = report->holds_pieces;
}

static enum tally_outcome take_extended(const struct tallies *tallies, struct tally *tally,
                                        const struct shard_report *report)
{
    struct tally_shard *shard = &tally->threads[report->shard];

    take_pieces(tally, report);
    if (shard->extends > 0)
        shard->extends--;
    for (uint32_t i = 0; i < tallies->threads; i++) {
        if (tally->threads[i].extends > 0)
            return TALLY_WAITS;
    }
    return TALLY_EXTENDED;
}

/* A map holds here when all shards go by it, or by a later one. */
static enum tally_outcome take_mapped(const struct tallies *tallies, struct tally *tally,
                                      const struct shard_report *report)
{
    take_pieces(tally, report);
    tally->threads[report->shard].map = report->map;
    for (uint32_t i = 0; i < tallies->threads; i++) {
        if (tally->threads[i].is_prepared && tally->threads[i].map < report->map)
            return TALLY_WAITS;
    }
    return TALLY_MAPPED;
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
        shard->is_prepared = true;
        shard->holds_pieces = report->holds_pieces;
        return ++tally->prepared == tally->shards ? TALLY_PREPARED : TALLY_WAITS;
    case SHARD_COMMITTED:
        if (!take_durable(tally, shard, report->step))
            return TALLY_WAITS;
        if (!all_have(tallies, tally, report->step))
            return judge(tallies, tally, report->step);
        tally->told_step = report->step > tally->told_step ? report->step : tally->told_step;
        return TALLY_COMMITTED;
    case SHARD_REFUSED:
        if (report->step > shard->refused_step)
            shard->refused_step = report->step;
        return judge(tallies, tally, report->step);
    case SHARD_FAILED:
        tally->failed = true;
        return TALLY_FAILED;
    case SHARD_HELD:
        return take_held(tallies, tally, report);
    case SHARD_EXTENDED:
        return take_extended(tallies, tally, report);
    case SHARD_DIVERGED:
        return TALLY_DIVERGED;
    case SHARD_MAPPED:
        return take_mapped(tallies, tally, report);
    case SHARD_COPIED:
        take_pieces(tally, report);
        return TALLY_COPIED;
    case SHARD_PASSED:
        shard->passed = (struct step_range){report->after, report->step};
        return TALLY_PASSED;
    case SHARD_REMOVED:
        break; /* no report of a live job */
    }
    return TALLY_WAITS;
}

uint64_t tally_counts_from(struct tallies *tallies, uint64_t job, uint64_t step)
{
    const struct tally *tally = *link_of(tallies, job);

    return tally ? counts_from(tally, step) : step;
}

void tally_hold(struct tallies *tallies, uint64_t job, uint64_t incarnation)
{
    struct tally *tally = *link_of(tallies, job);

    for (uint32_t i = 0; tally && tally->incarnation == incarnation && i < tallies->threads; i++)
        tally->threads[i].holds += tally->threads[i].is_prepared;
}

void tally_extend(struct tallies *tallies, uint64_t job, uint64_t incarnation)
{
    struct tally *tally = *link_of(tallies, job);

    for (uint32_t i = 0; tally && tally->incarnation == incarnation && i < tallies->threads; i++)
        tally->threads[i].extends += tally->threads[i].is_prepared;
}

uint64_t tally_newest(struct tallies *tallies, uint64_t job)
{
    const struct tally *tally = *link_of(tallies, job);
    uint64_t newest = 0;

    for (uint32_t i = 0; tally && i < tallies->threads; i++) {
        if (tally->threads[i].held_step > newest)
            newest = tally->threads[i].held_step;
    }
    return newest;
}

/* Whether some shard that counts in a generation has passed over it: it has said so, or has a later one. */
static bool is_passed_over(const struct tallies *tallies, const struct tally *tally, uint64_t step)
{
    for (uint32_t i = 0; i < tallies->threads; i++) {
        const struct tally_shard *shard = &tally->threads[i];

        if (holds(shard, step) && (step_range_has(shard->passed, step) || shard->durable_step > step))
            return true;
    }
    return false;
}

bool tally_takes_back(struct tallies *tallies, uint64_t job, uint32_t shard, uint64_t *step)
{
    struct tally *tally = *link_of(tallies, job);
    struct tally_shard *taken;

    if (!tally || tally->failed || shard >= tallies->threads)
        return false;
    taken = &tally->threads[shard];
    *step = taken->durable_step;
    if (*step <= tally->confirmed_step ||
        (!taken->is_late && (*step <= tally->told_step || !is_passed_over(tallies, tally, *step))))
        return false;
    taken->durable_step = tally->confirmed_step;
    taken->is_late = false;
    return true;
}

void tally_forgo(struct tallies *tallies, uint64_t job, uint64_t incarnation, uint64_t step)
{
    struct tally *tally = *link_of(tallies, job);

    if (!tally || tally->incarnation != incarnation || step <= tally->confirmed_step)
        return;
    if (step > tally->forgone_step)
        tally->forgone_step = step;
    if (tally->told_step == step)
        tally->told_step = tally->confirmed_step;
    for (uint32_t i = 0; i < tallies->threads; i++) {
        if (tally->threads[i].durable_step == step)
            tally->threads[i].durable_step = tally->confirmed_step;
    }
}

/* The newest generation that all shards hold. */
static uint64_t durable_step(const struct tallies *tallies, const struct tally *tally)
{
    uint64_t newest = tally->confirmed_step;

    for (uint32_t i = 0; i < tallies->threads; i++) {
        uint64_t step = tally->threads[i].durable_step;

        if (step > newest && all_have(tallies, tally, step))
            newest = step;
    }
    return newest;
}

bool tally_is_whole(struct tallies *tallies, uint64_t job, uint64_t *step)
{
    struct tally *tally = *link_of(tallies, job);

    if (!tally || tally->failed)
        return false;
    *step = durable_step(tallies, tally);
    if (*step <= tally->told_step)
        return false;
    tally->told_step = *step;
    return true;
}

/* What the shards have gone over that is not behind the job: with what lies between, which costs at most a
 * commit. */
static void add_passed(const struct tallies *tallies, const struct tally *tally,
                       struct tally_standing *standing)
{
    struct step_range passed = {0};

    for (uint32_t i = 0; i < tallies->threads; i++)
        step_range_add(&passed, tally->threads[i].passed, tally->confirmed_step);
    standing->passed_after = passed.after;
    standing->passed_step = passed.last;
}

void tally_visit(const struct tallies *tallies,
                 void (*visit)(void *context, const struct tally_standing *standing), void *context)
{
    for (const struct tally *tally = tallies->first; tally; tally = tally->next) {
        struct tally_standing standing = {.job = tally->job,
                                          .incarnation = tally->incarnation,
                                          .is_prepared = tally->prepared == tally->shards,
                                          .durable_step = durable_step(tallies, tally)};

        add_passed(tallies, tally, &standing);
        if (!tally->failed)
            visit(context, &standing);
    }
}

void tally_end(struct tallies *tallies, uint64_t job, uint64_t incarnation)
{
    struct tally **link = link_of(tallies, job), *tally = *link;

    if (!tally || tally->incarnation > incarnation)
        return;
    *link = tally->next;
    free(tally);
}
