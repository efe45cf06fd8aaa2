/* Reference-counted buffers and their pools, also with two threads that drop references. */
#include "base/buffer.h"

#include "check_main.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Large ones lie in huge pages, whatever their size. */
START_TEST(a_large_heap_buffer_may_have_any_size)
{
    static const size_t sizes[] = {(2 << 20) - 1, 2 << 20, (2 << 20) + 1, (3 << 20) + 64, (16 << 20) + 64};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct buffer *buffer = buffer_new(sizes[i]);

        ck_assert_ptr_nonnull(buffer);
        ck_assert_uint_eq((uintptr_t)buffer->data % BUFFER_ALIGNMENT, 0);
        ck_assert_uint_eq(buffer->capacity_bytes, sizes[i]);
        memset(buffer->data, 1, sizes[i]);
        buffer_unref(buffer);
    }
}
END_TEST

START_TEST(a_heap_buffer_is_aligned_and_exclusive)
{
    struct buffer *buffer = buffer_new(100);

    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_eq((uintptr_t)buffer->data % BUFFER_ALIGNMENT, 0);
    ck_assert_uint_eq(buffer->length_bytes, 100);
    ck_assert_uint_eq(buffer->capacity_bytes, 100);
    memset(buffer->data, 1, 100);
    ck_assert(buffer_is_exclusive(buffer));
    ck_assert_ptr_eq(buffer_ref(buffer), buffer);
    ck_assert(!buffer_is_exclusive(buffer));
    buffer_unref(buffer);
    ck_assert(buffer_is_exclusive(buffer));
    buffer_unref(buffer);
    buffer_unref(NULL);
}
END_TEST

START_TEST(sizes_at_the_edges)
{
    struct buffer *empty = buffer_new(0);

    ck_assert_ptr_nonnull(empty);
    ck_assert_uint_eq(empty->length_bytes, 0);
    buffer_unref(empty);
    ck_assert_ptr_null(buffer_new(SIZE_MAX));
}
END_TEST

static void count_release(struct buffer *buffer)
{
    *(int *)buffer->owner += 1;
}

START_TEST(foreign_bytes_are_released_once)
{
    char bytes[10];
    int released = 0;
    struct buffer buffer;

    buffer_wrap(&buffer, bytes, sizeof(bytes), count_release, &released);
    buffer_ref(&buffer);
    buffer_unref(&buffer);
    ck_assert_int_eq(released, 0);
    buffer_unref(&buffer);
    ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(a_pool_gives_the_same_memory_again)
{
    struct buffer_pool *pool = buffer_pool_new(256);
    struct buffer *first = buffer_pool_get(pool), *second = buffer_pool_get(pool);
    void *first_data = first->data;

    ck_assert_ptr_ne(first, second);
    first->length_bytes = 3;
    buffer_unref(first);
    first = buffer_pool_get(pool);
    ck_assert_ptr_eq(first->data, first_data);
    ck_assert_uint_eq(first->length_bytes, 256);
    ck_assert(buffer_is_exclusive(first));
    buffer_unref(first);
    buffer_unref(second);
    buffer_pool_free(pool);
    buffer_pool_free(NULL);
}
END_TEST

START_TEST(a_buffer_outlives_its_pool)
{
    struct buffer_pool *pool = buffer_pool_new(64);
    struct buffer *buffer = buffer_pool_get(pool), *other = buffer_pool_get(pool);

    buffer_unref(other);
    buffer_pool_free(pool);
    memset(buffer->data, 7, 64);
    buffer_unref(buffer); /* the pool goes with it: the leak checker watches */
}
END_TEST

/* Large buffers are cut from blocks of several: none may reach into another. */
START_TEST(large_buffers_of_a_pool_do_not_overlap)
{
    const size_t bytes = ((size_t)600 << 10) + 4;
    struct buffer_pool *pool = buffer_pool_new(bytes);
    struct buffer *buffers[20];

    for (int i = 0; i < 20; i++) {
        buffers[i] = buffer_pool_get(pool);
        ck_assert_ptr_nonnull(buffers[i]);
        ck_assert_uint_eq((uintptr_t)buffers[i]->data % BUFFER_ALIGNMENT, 0);
        ck_assert_uint_eq(buffers[i]->length_bytes, bytes);
        memset(buffers[i]->data, i, bytes);
    }
    for (int i = 0; i < 20; i++) {
        const unsigned char *data = buffers[i]->data;

        ck_assert_uint_eq(data[0], i);
        ck_assert_int_eq(memcmp(data, data + 1, bytes - 1), 0);
    }
    buffer_pool_free(pool);
    for (int i = 0; i < 20; i++)
        buffer_unref(buffers[i]); /* the blocks go with the last */
}
END_TEST

/* How many of a range's pages take memory. */
static size_t count_resident(const void *data, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = bytes / page, count = 0;
    unsigned char *resident = calloc(pages, 1);

    ck_assert_ptr_nonnull(resident);
    ck_assert_int_eq(mincore((void *)((uintptr_t)data / page * page), pages * page, resident), 0);
    for (size_t i = 0; i < pages; i++)
        count += resident[i] & 1;
    free(resident);
    return count;
}

START_TEST(a_trimmed_pool_gives_memory_back)
{
    const size_t bytes = (size_t)4 << 20;
    struct buffer_pool *pool = buffer_pool_new(bytes);
    struct buffer *held = buffer_pool_get(pool), *idle = buffer_pool_get(pool), *again;
    unsigned char *data = idle->data;

    memset(held->data, 1, bytes);
    memset(data, 2, bytes);
    ck_assert_uint_gt(count_resident(data, bytes), 1000);
    buffer_unref(idle);
    buffer_pool_trim(pool, 0);
    buffer_pool_trim(pool, 0); /* nothing is left to give */
    ck_assert_uint_lt(count_resident(data, bytes), 10);
    ck_assert_uint_gt(count_resident(held->data, bytes), 1000);
    ck_assert_int_eq(((unsigned char *)held->data)[bytes - 1], 1);
    again = buffer_pool_get(pool);
    ck_assert_uint_eq(again->length_bytes, bytes);
    memset(again->data, 3, bytes);
    buffer_unref(again);
    buffer_unref(held);
    buffer_pool_free(pool);
}
END_TEST

/* One that somebody holds when it is not needed any more, and one that is. */
START_TEST(what_comes_back_late_is_given_back_too)
{
    const size_t bytes = (size_t)4 << 20;
    struct buffer_pool *pool = buffer_pool_new(bytes);
    struct buffer *late = buffer_pool_get(pool), *kept = buffer_pool_get(pool);
    unsigned char *late_data = late->data, *kept_data = kept->data;

    memset(late_data, 1, bytes);
    memset(kept_data, 2, bytes);
    buffer_pool_trim(pool, 1);
    ck_assert_uint_gt(count_resident(late_data, bytes), 1000);
    buffer_unref(late);
    ck_assert_uint_lt(count_resident(late_data, bytes), 10);
    buffer_unref(kept);
    ck_assert_uint_gt(count_resident(kept_data, bytes), 1000);
    buffer_pool_free(pool);
}
END_TEST

/* In a heap, where the allocator puts what is smaller than something that was freed, it would stay: more lies
 * behind it. */
START_TEST(a_pool_that_goes_gives_memory_back)
{
    const size_t bytes = (size_t)1 << 20, count = 16;
    struct buffer *buffers[16];
    void *behind[4];
    unsigned char state;

    buffer_unref(buffer_new((size_t)24 << 20));
    for (int round = 0; round < 4; round++) {
        struct buffer_pool *pool = buffer_pool_new(bytes);
        uintptr_t middle;

        for (size_t i = 0; i < count; i++) {
            buffers[i] = buffer_pool_get(pool);
            ck_assert_ptr_nonnull(buffers[i]);
            memset(buffers[i]->data, 1, bytes);
        }
        behind[round] = malloc(1 << 16);
        ck_assert_ptr_nonnull(behind[round]);
        middle = ((uintptr_t)buffers[count / 2]->data + bytes / 2) / 4096 * 4096;
        buffer_pool_free(pool);
        ck_assert_int_eq(mincore((void *)middle, 1, &state), 0);
        for (size_t i = 0; i < count; i++)
            buffer_unref(buffers[i]);
        ck_assert_int_eq(mincore((void *)middle, 1, &state), -1); /* there is no such page */
        ck_assert_int_eq(errno, ENOMEM);
    }
    for (int round = 0; round < 4; round++)
        free(behind[round]);
}
END_TEST

START_TEST(a_pool_that_cannot_grow_says_so)
{
    struct buffer_pool *pool = buffer_pool_new(SIZE_MAX);

    ck_assert_ptr_null(buffer_pool_get(pool));
    buffer_pool_free(pool);
}
END_TEST

#define BUFFERS 64
#define ROUNDS  200

/* Buffers that the main thread fills and two threads let go of. */
struct handover {
    pthread_barrier_t filled, dropped;
    struct buffer *buffers[BUFFERS];
};

static void *drop_all(void *argument)
{
    struct handover *handover = argument;

    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&handover->filled);
        for (int i = 0; i < BUFFERS; i++)
            buffer_unref(handover->buffers[i]);
        pthread_barrier_wait(&handover->dropped);
    }
    return NULL;
}

static void fill_round(struct handover *handover, struct buffer_pool *pool, int round)
{
    for (int i = 0; i < BUFFERS; i++) {
        struct buffer *buffer = buffer_pool_get(pool);

        ck_assert_ptr_nonnull(buffer);
        ck_assert(buffer_is_exclusive(buffer));
        memset(buffer->data, round, buffer->length_bytes);
        handover->buffers[i] = buffer_ref(buffer); /* one reference for each thread */
    }
}

START_TEST(two_threads_drop_references)
{
    struct handover handover;
    struct buffer_pool *pool = buffer_pool_new(64);
    pthread_t threads[2];

    ck_assert_int_eq(pthread_barrier_init(&handover.filled, NULL, 3), 0);
    ck_assert_int_eq(pthread_barrier_init(&handover.dropped, NULL, 3), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, drop_all, &handover), 0);
    for (int round = 0; round < ROUNDS; round++) {
        fill_round(&handover, pool, round);
        pthread_barrier_wait(&handover.filled);
        pthread_barrier_wait(&handover.dropped);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&handover.filled);
    pthread_barrier_destroy(&handover.dropped);
    buffer_pool_free(pool);
}
END_TEST

#define RING_SLOTS 64
#define RING_TURNS 20000

/* Slots through which the owner hands buffers to a thread that gives them back, so that both work on the free
 * list at once. Whoever finds nothing to do yields: there may be one core for both. */
struct ring {
    _Atomic(struct buffer *) slots[RING_SLOTS];
};

static void *give_back(void *argument)
{
    struct ring *ring = argument;

    for (int dropped = 0; dropped < RING_TURNS;) {
        int before = dropped;

        for (int i = 0; i < RING_SLOTS; i++) {
            struct buffer *buffer = atomic_exchange(&ring->slots[i], NULL);

            dropped += buffer != NULL;
            buffer_unref(buffer);
        }
        if (dropped == before)
            sched_yield();
    }
    return NULL;
}

START_TEST(taking_and_giving_back_at_once)
{
    struct buffer_pool *pool = buffer_pool_new(64);
    struct ring ring = {{NULL}};
    pthread_t thread;
    int wrong = 0;

    ck_assert_int_eq(pthread_create(&thread, NULL, give_back, &ring), 0);
    for (int sent = 0; sent < RING_TURNS && !wrong;) {
        struct buffer *buffer = buffer_pool_get(pool), *empty = NULL;

        wrong = !buffer || !buffer_is_exclusive(buffer);
        if (wrong)
            break;
        memset(buffer->data, sent, 64);
        if (atomic_compare_exchange_strong(&ring.slots[sent % RING_SLOTS], &empty, buffer)) {
            sent++;
        } else {
            buffer_unref(buffer);
            sched_yield();
        }
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    buffer_pool_free(pool);
}
END_TEST

static Suite *buffer_suite(void)
{
    Suite *suite = suite_create("buffer");
    TCase *cases = tcase_create("buffer");

    tcase_add_test(cases, a_heap_buffer_is_aligned_and_exclusive);
    tcase_add_test(cases, a_large_heap_buffer_may_have_any_size);
    tcase_add_test(cases, sizes_at_the_edges);
    tcase_add_test(cases, foreign_bytes_are_released_once);
    tcase_add_test(cases, a_pool_gives_the_same_memory_again);
    tcase_add_test(cases, a_buffer_outlives_its_pool);
    tcase_add_test(cases, large_buffers_of_a_pool_do_not_overlap);
    tcase_add_test(cases, a_trimmed_pool_gives_memory_back);
    tcase_add_test(cases, what_comes_back_late_is_given_back_too);
    tcase_add_test(cases, a_pool_that_goes_gives_memory_back);
    tcase_add_test(cases, a_pool_that_cannot_grow_says_so);
    tcase_add_test(cases, two_threads_drop_references);
    tcase_add_test(cases, taking_and_giving_back_at_once);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(buffer_suite)
