/* The coordinator's state machine: what happens to chains when more than one thing goes wrong at a time, or
 * at a bad moment. */
#include "check_main.h"
#include "played_chains.h"
#include "state.h"

#define LEASES_MS (FAKE_LEASE_MS + 2000) /* how long a coordinator that started again awaits nodes */

static void run(uint32_t servers, uint32_t replicas)
{
    submit_text_with_nodes(chained_model(servers, replicas, "sgd"));
    prepare_all(1);
    EXPECT_STATE(&cluster, RUNNING, "");
    cluster_forget(&cluster);
}

/* Tells servers the newest maps until something is to be copied; its copies are not made. */
static void await_copies(const char *const servers[], size_t count)
{
    size_t copies = 0;

    for (int round = 0; copies == 0; round++) {
        ck_assert_int_lt(round, 10);
        for (size_t i = 0; i < count; i++) {
            Cairn__NodeCommand *command;
            const Cairn__MapCommand *map = map_to(servers[i], &command);

            copies = map ? map->n_copies : copies;
            if (map)
                say_mapped(servers[i], map->number);
            message_free(command);
        }
        pass(&cluster, 50);
    }
}

static void all_but_newcomers_return(const char *server)
{
    register_engaged(&cluster, server, 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    register_engaged(&cluster, "w2", 0, 1);
}

/* Something was being copied to s3, which has nothing yet, when the coordinator died. */
static void restart_while_copying(void)
{
    static const char *const servers[] = {"s2", "s3"};

    run(2, 2);
    leave(&cluster, "s1");
    register_server(&cluster, "s3");
    prepared(&cluster, "s3", 1, 0);
    await_copies(servers, 2);
    cluster_restart(&cluster);
    all_but_newcomers_return("s2");
}

/* Else the head would wait for the copy with every step. */
START_TEST(a_copy_ends_with_whom_it_was_for)
{
    static const char *const servers[] = {"s2", "s4"};
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    restart_while_copying();
    register_server(&cluster, "s4");
    let_pass(servers, 2, LEASES_MS + 250);
    prepared(&cluster, "s4", 1, 0);
    move_all(servers, 2, 5);
    leave(&cluster, "s2");
    map = map_to("s4", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert(names(map, "s4") && !names(map, "s2"));
    ck_assert_uint_eq(map->n_copies, 0);
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(incarnation(), 1);
}
END_TEST

/* Tells three servers the newest maps until something is to be copied to s4. Owns: the caller. */
static Cairn__NodeCommand *await_copy(void)
{
    static const char *const servers[] = {"s2", "s3", "s4"};

    for (int round = 0;; round++) {
        ck_assert_int_lt(round, 10);
        for (size_t i = 0; i < 3; i++) {
            Cairn__NodeCommand *command;
            const Cairn__MapCommand *map = map_to(servers[i], &command);

            if (map && i == 2 && map->n_copies > 0)
                return command;
            if (map)
                say_mapped(servers[i], map->number);
            message_free(command);
        }
        pass(&cluster, 50);
    }
}

/* A server of the chain that a map has a copy of: the last one, or the first. */
static const char *server_of_copied(const Cairn__MapCommand *map, bool last)
{
    const uint32_t *chain = map->slot_shards + (size_t)map->copies[0]->slot * map->replicas;
    uint32_t place = 0;

    while (last && place + 1 < map->replicas && chain[place + 1] < map->n_shards)
        place++;
    return map->shards[chain[place]]->server;
}

/* Whom a slot is copied from dies: the one before it need not wait for what that one has given. */
START_TEST(a_copy_begins_anew_when_it_comes_from_another)
{
    bool last = _i == 1;
    Cairn__NodeCommand *before, *after, *more;
    const Cairn__MapCommand *map;

    register_server(&cluster, "s3");
    submit_text_with_nodes(chained_model(3, 3, "sgd"));
    prepare_all(1);
    prepared(&cluster, "s3", 1, 0);
    EXPECT_STATE(&cluster, RUNNING, "");
    cluster_forget(&cluster);
    leave(&cluster, "s1");
    register_server(&cluster, "s4");
    prepared(&cluster, "s4", 1, 0);
    before = await_copy();
    leave(&cluster, server_of_copied(before->map, last));
    map = map_to("s4", &after);
    ck_assert_ptr_nonnull(map);
    ck_assert_uint_eq(map->n_copies, 1);
    ck_assert_uint_eq(map->copies[0]->number, last ? map->number : before->map->copies[0]->number);
    say_copied("s4", before->map->copies[0], 5);
    map = map_to("s4", &more);
    ck_assert(!map == last); /* what was copied from whom is gone does not count */
    message_free(before);
    message_free(after);
    message_free(more);
}
END_TEST

START_TEST(a_copy_goes_on_after_a_restart)
{
    static const char *const servers[] = {"s2", "s3"};
    Cairn__NodeCommand *command;
    const Cairn__MapCommand *map;

    restart_while_copying();
    register_engaged(&cluster, "s3", 2, 1);
    let_pass(servers, 2, LEASES_MS + 250); /* s1 is in what is committed, and awaited */
    move_all(servers, 2, 5);
    leave(&cluster, "s2");
    map = map_to("s3", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert(names(map, "s3") && !names(map, "s2"));
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(incarnation(), 1);
}
END_TEST

/* Whoever comes first: the one that lives has everything. */
START_TEST(who_died_with_the_coordinator_is_not_missed)
{
    run(2, 2);
    cluster_restart(&cluster);
    if (_i == 0)
        all_but_newcomers_return("s2");
    register_from(&cluster, "s1 anew", "s1", 2, 2);
    if (_i == 1)
        all_but_newcomers_return("s2");
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(incarnation(), 1);
}
END_TEST

/* And when nobody else comes back it is missed. */
START_TEST(all_who_died_with_the_coordinator_are_missed)
{
    run(2, 2);
    cluster_restart(&cluster);
    register_from(&cluster, "s1 anew", "s1", 2, 2);
    register_from(&cluster, "s2 anew", "s2", 2, 2);
    ck_assert_uint_eq(incarnation(), 2);
}
END_TEST

/* In whatever order they return: else all that has been copied would be copied once more. */
START_TEST(who_is_to_leave_is_the_same_after_a_restart)
{
    static const char *const servers[] = {"s3", "s2", "s1"};

    register_server(&cluster, "s3");
    submit_text_with_nodes(chained_model(3, 1, "sgd"));
    prepare_all(1);
    prepared(&cluster, "s3", 1, 0);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 2);
    ask_servers("tiny", 2);
    message_free(take_reply(&cluster, "scaler"));
    cluster_restart(&cluster);
    for (size_t i = 0; i < 3; i++)
        register_engaged(&cluster, servers[i], 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    register_engaged(&cluster, "w2", 0, 1);
    EXPECT_STATE(&cluster, RUNNING, "");
    move_all(servers, 3, 3);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 4);
    move_all(servers, 3, 4);
    ck_assert(GOT(&cluster, "s3", RELEASE) && !GOT(&cluster, "s1", RELEASE));
}
END_TEST

/* All of s1 is copied to s2: the first slot at a step, the others at another one. */
static void drain_at(uint64_t first, uint64_t others)
{
    static const char *const servers[] = {"s1", "s2"};
    uint64_t step = first;

    message_free(ask_drain("s1"));
    prepared(&cluster, "s2", 1, 0);
    for (int round = 0; round < 400; round++) {
        for (size_t i = 0; i < 2; i++) {
            Cairn__NodeCommand *command;
            const Cairn__MapCommand *map = map_to(servers[i], &command);

            if (map)
                say_mapped(servers[i], map->number);
            for (size_t j = 0; map && i == 1 && j < map->n_copies; j++) {
                say_copied("s2", map->copies[j], step);
                step = others;
            }
            message_free(command);
        }
        let_pass(servers, 2, 250);
    }
    ck_assert_uint_eq(step, others);
    cluster_forget(&cluster);
}

/* The chunks of a step end at different moments. */
START_TEST(who_has_any_piece_in_a_generation_is_waited_for)
{
    run(1, 1);
    committed(&cluster, "s1", 1, 2); /* else the job could go on without s1 */
    drain_at(5, 4);
    committed(&cluster, "s1", 1, 5);
    ck_assert(!GOT(&cluster, "s1", COMMITTED));
    committed(&cluster, "s2", 1, 5);
    ck_assert(GOT(&cluster, "s1", COMMITTED) && GOT(&cluster, "s2", COMMITTED));
}
END_TEST

/* What had come to s2 at the last step is in no generation of that, and s1 is dead. */
START_TEST(an_end_that_is_given_up_is_trained_again)
{
    run(1, 1);
    drain_at(5, 10);
    committed(&cluster, "s2", 1, 10);
    leave(&cluster, "s1");
    ck_assert(GOT(&cluster, "s2", ABANDON));
    EXPECT_STATE(&cluster, RUNNING, "");
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    EXPECT_STATE(&cluster, COMMITTING, "makes step 10 durable");
    pass(&cluster, 0);
    ck_assert_uint_eq(incarnation(), 2);
    EXPECT_STATE(&cluster, PREPARING, "waits for server s2 and workers w1, w2 to load state and data");
}
END_TEST

/* s1 has come with another number of shards than the job knows it by. */
START_TEST(who_cannot_be_taken_on_keeps_nobody_away)
{
    run(2, 2);
    leave(&cluster, "s1");
    register_from(&cluster, "s1", "s1", 2, 3);
    register_server(&cluster, "s3");
    ck_assert(GOT(&cluster, "s3", PREPARE) && !GOT(&cluster, "s1", PREPARE));
}
END_TEST

/* There is nothing to do at a moment that has passed. */
START_TEST(a_job_that_waits_has_no_copies_due)
{
    static const char *const servers[] = {"s1", "s2"};
    Cairn__NodeCommand *command;
    const Cairn__MapCommand *map;
    bool is_copied = false;

    run(1, 1);
    message_free(ask_drain("s1"));
    prepared(&cluster, "s2", 1, 0);
    for (int round = 0; !is_copied; round++) {
        ck_assert_int_lt(round, 10);
        map = map_to("s1", &command);
        if (map)
            say_mapped("s1", map->number);
        message_free(command);
        map = map_to("s2", &command);
        if (map)
            say_mapped("s2", map->number);
        is_copied = map && map->n_copies > 0;
        if (is_copied)
            say_copied("s2", map->copies[0], 3);
        else
            pass(&cluster, 50);
        message_free(command);
    }
    leave(&cluster, "w1");
    leave(&cluster, "w2");
    let_pass(servers, 2, 5000);
    ck_assert_int_gt(state_deadline_ms(cluster.state), cluster.now.monotonic_ms);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const alone[] = {a_copy_ends_with_whom_it_was_for,
                                  a_copy_goes_on_after_a_restart,
                                  all_who_died_with_the_coordinator_are_missed,
                                  who_is_to_leave_is_the_same_after_a_restart,
                                  who_has_any_piece_in_a_generation_is_waited_for,
                                  an_end_that_is_given_up_is_trained_again,
                                  who_cannot_be_taken_on_keeps_nobody_away,
                                  a_job_that_waits_has_no_copies_due};
    Suite *suite = suite_create("coordinator_chain_faults");
    TCase *tests = tcase_create("orders");

    ADD(suite, "faults", alone);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, a_copy_begins_anew_when_it_comes_from_another, 0, 2);
    tcase_add_loop_test(tests, who_died_with_the_coordinator_is_not_missed, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
