/* loader.h: one thread that fills a fixed set of slots.
 *
 * The thread fills in the order of (step, index) as long as a slot is free: that is the prefetch. A taker
 * whose microbatch is not there yet is served first, if need be in the place of a ready one that nobody waits
 * for: so lanes may take the microbatches of a step in any order, and fewer slots than lanes are slow but
 * never a deadlock. What was pushed out is filled again when somebody asks.
 *
 * Everything is guarded by one mutex, except the contents of a slot, which belong to the thread while
 * FILLING and to the taker while TAKEN. */
#include "data/loader.h"

#include "data/sampler.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_ALIGNMENT 64

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_TAKEN };

struct slot {
    struct microbatch microbatch; /* first: loader_give finds the slot by it */
    enum slot_state state;
};

/* Somebody in loader_take, on its stack. */
struct waiter {
    uint64_t step;
    uint32_t index;
    pthread_cond_t wake;
    struct waiter *next;
};

struct loader {
    struct loader_params params;
    struct sampler sampler; /* the thread's own */
    size_t input_elements, target_elements;
    struct slot *slots; /* [params.depth] */
    float *features;    /* memory of all slots */
    char *targets;
    uint64_t next_step; /* prefetch: the next to fill */
    uint32_t next_index;
    uint64_t *filled; /* [span] steps up to which (exclusive) each microbatch was filled already */
    struct waiter *waiters;
    bool closed;
    bool thread_runs;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work; /* for the thread: a slot is free, a waiter came, closed */
};

static struct slot *find_slot(struct loader *loader, uint64_t step, uint32_t index)
{
    for (uint32_t i = 0; i < loader->params.depth; i++) {
        struct slot *slot = &loader->slots[i];

        if ((slot->state == SLOT_FILLING || slot->state == SLOT_READY) && slot->microbatch.step == step &&
            slot->microbatch.index == index)
            return slot;
    }
    return NULL;
}

static struct waiter *find_waiter(struct loader *loader, uint64_t step, uint32_t index)
{
    struct waiter *waiter = loader->waiters;

    while (waiter != NULL && (waiter->step != step || waiter->index != index))
        waiter = waiter->next;
    return waiter;
}

static struct slot *free_slot(struct loader *loader)
{
    for (uint32_t i = 0; i < loader->params.depth; i++)
        if (loader->slots[i].state == SLOT_FREE)
            return &loader->slots[i];
    return NULL;
}

/* The ready slot that is needed last, of those that nobody waits for. */
static struct slot *victim_slot(struct loader *loader)
{
    struct slot *victim = NULL;

    for (uint32_t i = 0; i < loader->params.depth; i++) {
        struct slot *slot = &loader->slots[i];

        if (slot->state != SLOT_READY ||
            find_waiter(loader, slot->microbatch.step, slot->microbatch.index) != NULL)
            continue;
        if (victim == NULL || slot->microbatch.step > victim->microbatch.step ||
            (slot->microbatch.step == victim->microbatch.step &&
             slot->microbatch.index > victim->microbatch.index))
            victim = slot;
    }
    return victim;
}

static void assign(struct loader *loader, struct slot *slot, uint64_t step, uint32_t index)
{
    uint64_t *filled = &loader->filled[index - loader->params.span_begin];

    slot->state = SLOT_FILLING;
    slot->microbatch.step = step;
    slot->microbatch.index = index;
    if (*filled < step + 1)
        *filled = step + 1;
}

/* A slot for a waiter whose microbatch nobody fills; NULL: there is no such waiter or no place. */
static struct slot *pick_wanted(struct loader *loader)
{
    for (struct waiter *waiter = loader->waiters; waiter != NULL; waiter = waiter->next) {
        struct slot *slot;

        if (find_slot(loader, waiter->step, waiter->index) != NULL)
            continue;
        slot = free_slot(loader);
        if (slot == NULL)
            slot = victim_slot(loader);
        if (slot != NULL)
            assign(loader, slot, waiter->step, waiter->index);
        return slot;
    }
    return NULL;
}

/* A slot for the next in order; NULL: all is filled or no slot is free. */
static struct slot *pick_next(struct loader *loader)
{
    const struct loader_params *params = &loader->params;
    struct slot *slot = free_slot(loader);

    while (slot != NULL && loader->next_step < params->final_step) {
        uint64_t step = loader->next_step;
        uint32_t index = loader->next_index;

        if (++loader->next_index == params->span_end) {
            loader->next_index = params->span_begin;
            loader->next_step++;
        }
        if (loader->filled[index - params->span_begin] <= step) {
            assign(loader, slot, step, index);
            return slot;
        }
    }
    return NULL;
}

/* Reads the samples; without the mutex. */
static void fill(struct loader *loader, struct microbatch *microbatch)
{
    struct sampler_range range = sampler_microbatch(&loader->sampler, microbatch->step, microbatch->index);
    float *features = microbatch->features;
    char *target = microbatch->targets;

    microbatch->first_sample = range.first_sample;
    microbatch->samples = range.samples;
    microbatch->batch_samples = range.batch_samples;
    for (uint32_t i = 0; i < range.samples; i++) {
        uint64_t sample = sampler_sample(&loader->sampler, range.epoch, range.first + i);

        reader_read(loader->params.reader, sample, features, target);
        features += loader->input_elements;
        target += loader->target_elements * sizeof(float);
    }
}

static void *loader_main(void *context)
{
    struct loader *loader = context;

    pthread_mutex_lock(&loader->mutex);
    while (!loader->closed) {
        struct slot *slot = pick_wanted(loader);
        struct waiter *waiter;

        if (slot == NULL)
            slot = pick_next(loader);
        if (slot == NULL) {
            pthread_cond_wait(&loader->work, &loader->mutex);
            continue;
        }
        pthread_mutex_unlock(&loader->mutex);
        fill(loader, &slot->microbatch);
        pthread_mutex_lock(&loader->mutex);
        slot->state = SLOT_READY;
        waiter = find_waiter(loader, slot->microbatch.step, slot->microbatch.index);
        if (waiter != NULL)
            pthread_cond_signal(&waiter->wake);
    }
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

/* The most samples that a microbatch can have. Not what this span's have in a full batch: a short batch may
 * give one of them a sample more, as the remainders fall elsewhere. */
static uint32_t most_samples(const struct job *job)
{
    return job->batch_size / job->microbatches + (job->batch_size % job->microbatches != 0);
}

/* depth blocks of memory, each on its own boundary; *stride: from one to the next. NULL: no memory. */
static void *allocate_blocks(uint32_t depth, uint64_t elements, size_t *stride)
{
    size_t bytes, all;

    if (__builtin_mul_overflow(elements, sizeof(float), &bytes) || bytes > SIZE_MAX - SLOT_ALIGNMENT)
        return NULL;
    *stride = (bytes + SLOT_ALIGNMENT - 1) / SLOT_ALIGNMENT * SLOT_ALIGNMENT;
    if (__builtin_mul_overflow(*stride, depth, &all))
        return NULL;
    return aligned_alloc(SLOT_ALIGNMENT, all);
}

static enum status allocate_slots(struct loader *loader, struct error *error)
{
    const struct loader_params *params = &loader->params;
    uint64_t samples = most_samples(params->job);
    size_t feature_stride = 0, target_stride = 0;

    loader->filled = calloc(params->span_end - params->span_begin, sizeof *loader->filled);
    loader->slots = calloc(params->depth, sizeof *loader->slots);
    loader->features = allocate_blocks(params->depth, samples * loader->input_elements, &feature_stride);
    loader->targets = allocate_blocks(params->depth, samples * loader->target_elements, &target_stride);
    if (loader->filled == NULL || loader->slots == NULL || loader->features == NULL ||
        loader->targets == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %u microbatches of %llu samples",
                         params->depth, (unsigned long long)samples);
    for (uint32_t i = 0; i < params->depth; i++) {
        loader->slots[i].microbatch.features = (float *)((char *)loader->features + i * feature_stride);
        loader->slots[i].microbatch.targets = loader->targets + i * target_stride;
    }
    return CAIRN_OK;
}

/* Signals are the main thread's. */
static enum status start_thread(struct loader *loader, struct error *error)
{
    sigset_t all, before;
    int code;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&loader->thread, NULL, loader_main, loader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return error_system(error, code, "cannot start the loader thread");
    loader->thread_runs = true;
    return CAIRN_OK;
}

enum status loader_start(const struct loader_params *params, struct loader **out, struct error *error)
{
    struct loader *loader;
    enum status status;

    BUG_IF(params->depth < 2 || params->span_begin >= params->span_end ||
           params->span_end > params->job->microbatches);
    loader = calloc(1, sizeof *loader);
    if (loader == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->work, NULL);
    loader->params = *params;
    loader->input_elements = shape_elements(&params->wants.input);
    loader->target_elements = params->wants.target == TARGET_CLASS ? 1 : params->wants.target_elements;
    loader->next_step = params->first_step;
    loader->next_index = params->span_begin;
    status = sampler_init(&loader->sampler, params->job, reader_count(params->reader), error);
    if (status == CAIRN_OK)
        status = allocate_slots(loader, error);
    if (status == CAIRN_OK)
        status = start_thread(loader, error);
    if (status != CAIRN_OK) {
        loader_stop(loader);
        return status;
    }
    *out = loader;
    return CAIRN_OK;
}

void loader_stop(struct loader *loader)
{
    if (loader == NULL)
        return;
    loader_close(loader);
    if (loader->thread_runs)
        pthread_join(loader->thread, NULL);
    sampler_fini(&loader->sampler);
    free(loader->slots);
    free(loader->features);
    free(loader->targets);
    free(loader->filled);
    pthread_cond_destroy(&loader->work);
    pthread_mutex_destroy(&loader->mutex);
    free(loader);
}

/* Adds a waiter and removes it again when its microbatch is ready; the mutex is held. */
static struct slot *wait_for(struct loader *loader, uint64_t step, uint32_t index)
{
    struct waiter waiter = {.step = step, .index = index, .next = loader->waiters};
    struct waiter **link = &loader->waiters;
    struct slot *slot = NULL;

    pthread_cond_init(&waiter.wake, NULL);
    loader->waiters = &waiter;
    pthread_cond_signal(&loader->work);
    while (!loader->closed) {
        slot = find_slot(loader, step, index);
        if (slot != NULL && slot->state == SLOT_READY)
            break;
        pthread_cond_wait(&waiter.wake, &loader->mutex);
    }
    while (*link != &waiter)
        link = &(*link)->next;
    *link = waiter.next;
    pthread_cond_destroy(&waiter.wake);
    return loader->closed ? NULL : slot;
}

struct microbatch *loader_take(struct loader *loader, uint64_t step, uint32_t index)
{
    struct slot *slot = NULL;

    BUG_IF(index < loader->params.span_begin || index >= loader->params.span_end ||
           step < loader->params.first_step || step >= loader->params.final_step);
    pthread_mutex_lock(&loader->mutex);
    if (!loader->closed) {
        slot = find_slot(loader, step, index);
        if (slot == NULL || slot->state != SLOT_READY)
            slot = wait_for(loader, step, index);
        if (slot != NULL)
            slot->state = SLOT_TAKEN;
    }
    pthread_mutex_unlock(&loader->mutex);
    return slot != NULL ? &slot->microbatch : NULL;
}

void loader_give(struct loader *loader, struct microbatch *microbatch)
{
    struct slot *slot = (struct slot *)microbatch;

    pthread_mutex_lock(&loader->mutex);
    BUG_IF(slot->state != SLOT_TAKEN);
    slot->state = SLOT_FREE;
    pthread_cond_signal(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
}

void loader_close(struct loader *loader)
{
    pthread_mutex_lock(&loader->mutex);
    loader->closed = true;
    for (struct waiter *waiter = loader->waiters; waiter != NULL; waiter = waiter->next)
        pthread_cond_signal(&waiter->wake);
    pthread_cond_signal(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
}
