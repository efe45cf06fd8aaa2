/* The coordinator's state machine: tables that are added to a job that runs. */
#include "check_main.h"
#include "tiny_job.h"

#define TABLES_TEXT                                                                                          \
    "name: shelf\ntables:\n  - dense: {name: a, size: 100}\n  - sparse: {name: b, dimension: 4}\n"           \
    "train: {optimizer: sgd}\ncluster: {servers: 2}\n"
#define ONE_TEXT                                                                                             \
    "name: shelf\ntables: [dense: {name: a, size: 1}]\ntrain: {optimizer: sgd}\ncluster: {servers: 2}\n"
#define LATE  "sparse: {name: late, dimension: 8}"
#define LATER "dense: {name: later, size: 70000, optimizer: adam}"

static void run_text(const char *text)
{
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    send_submit(&cluster, text, false, 0);
    message_free(take_reply(&cluster, "submitter"));
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s2", 1, 0);
    EXPECT_STATE(&cluster, RUNNING, "");
}

static void ask_table(const char *client, const char *text)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__TableRequest body = CAIRN__TABLE_REQUEST__INIT;

    body.job = "shelf-1";
    body.text = (char *)text;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_TABLE;
    request.table = &body;
    ask(&cluster, client, &request);
}

static void held(const char *server, uint64_t incarnation, uint64_t step)
{
    Cairn__Held body = CAIRN__HELD__INIT;

    body.job = 1;
    body.incarnation = incarnation;
    body.step = step;
    SAY(&cluster, server, HELD, held, &body);
}

static void extended(const char *server, uint64_t incarnation, uint32_t tables)
{
    Cairn__Extended body = CAIRN__EXTENDED__INIT;

    body.job = 1;
    body.incarnation = incarnation;
    body.tables = tables;
    SAY(&cluster, server, EXTENDED, extended, &body);
}

/* Both servers are told to hold, and have come to these steps. */
static void both_held(uint64_t one, uint64_t two)
{
    ck_assert(GOT(&cluster, "s1", HOLD));
    ck_assert(GOT(&cluster, "s2", HOLD));
    held("s1", 1, one);
    ck_assert(!GOT(&cluster, "s1", EXTEND));
    held("s2", 1, two);
}

/* Both are told to have so many tables, of which those from `first` on begin at a step; and do. */
static void both_extended(uint32_t first, uint32_t tables, uint64_t step)
{
    static const char *const servers[] = {"s1", "s2"};

    for (int i = 0; i < 2; i++) {
        Cairn__NodeCommand *command = take_command(&cluster, servers[i], CAIRN__NODE_COMMAND__BODY_EXTEND);
        const Cairn__PrepareCommand *prepare = command ? command->extend->prepare : NULL;

        ck_assert_ptr_nonnull(prepare);
        ck_assert_uint_eq(prepare->step, step);
        ck_assert_uint_eq(prepare->text->n_added, tables - 2);
        for (uint32_t j = first; j < tables; j++)
            ck_assert_uint_eq(prepare->text->added[j - 2]->first_version, step);
        message_free(command);
    }
    ck_assert(!GOT(&cluster, "s1", GO_ON));
    extended("s1", 1, tables);
    ck_assert(!GOT(&cluster, "s1", GO_ON));
    extended("s2", 1, tables);
    ck_assert(GOT(&cluster, "s1", GO_ON));
    ck_assert(GOT(&cluster, "s2", GO_ON));
}

/* The newest reply to a client tells the table's number. */
static void expect_number(const char *client, uint32_t number)
{
    Cairn__ClientReply *reply, *newest = NULL;

    while ((reply = take_reply(&cluster, client))) {
        message_free(newest);
        newest = reply;
    }
    ck_assert_ptr_nonnull(newest);
    ck_assert_int_eq(newest->body_case, CAIRN__CLIENT_REPLY__BODY_TABLE);
    ck_assert_uint_eq(newest->table->number, number);
    message_free(newest);
}

/* What clients that attach now are told: how many tables were added. */
static void expect_located(size_t added)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__LocateRequest body = CAIRN__LOCATE_REQUEST__INIT;
    Cairn__ClientReply *reply;

    body.job = "shelf-1";
    body.live = true;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_LOCATE;
    request.locate = &body;
    ask(&cluster, "locator", &request);
    reply = take_reply(&cluster, "locator");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_LOCATION);
    ck_assert_uint_eq(reply->location->text->n_added, added);
    ck_assert_uint_eq(reply->location->n_slot_shards, 1024);
    message_free(reply);
}

static void expect_tables(uint32_t tables)
{
    Cairn__ClientReply *reply = status_of(&cluster, "shelf");

    ck_assert_uint_eq(reply->job->tables, tables);
    message_free(reply);
}

static void add(const char *client, const char *text, uint32_t index, uint64_t step)
{
    ask_table(client, text);
    both_held(step, step);
    both_extended(index, index + 1, step);
    expect_number(client, TABLE_FIRST_USER + index);
}

/* What a server is told when the job goes on. */
static Cairn__NodeCommand *resume(uint64_t incarnation)
{
    Cairn__NodeCommand *command;

    cluster_forget(&cluster);
    send_submit(&cluster, TABLES_TEXT, true, 0);
    command = take_command(&cluster, "s1", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->prepare->incarnation, incarnation);
    return command;
}

/* ---- adding */

START_TEST(a_table_begins_where_the_furthest_server_is)
{
    run_text(TABLES_TEXT);
    ask_table("one", LATE);
    expect_number("one", 0); /* not yet */
    expect_located(0);
    both_held(41, 42);
    expect_located(0);
    both_extended(2, 3, 42);
    expect_number("one", TABLE_FIRST_USER + 2);
    ck_assert_str_eq(cluster.jobs[1].last_line, "table late added at step 42");
    expect_located(1);
    expect_tables(3);
}
END_TEST

START_TEST(clients_that_ask_for_one_table_get_one)
{
    run_text(TABLES_TEXT);
    ask_table("one", LATE);
    ask_table("two",
              "sparse:\n  dimension: 8\n  name: late\n  optimizer: sgd\n"); /* the same in other words */
    both_held(7, 7);
    ask_table("three", LATE);
    both_extended(2, 3, 7);
    ask_table("four", LATE);
    expect_number("one", TABLE_FIRST_USER + 2);
    expect_number("two", TABLE_FIRST_USER + 2);
    expect_number("three", TABLE_FIRST_USER + 2);
    expect_number("four", TABLE_FIRST_USER + 2);
    ck_assert(!GOT(&cluster, "s1", HOLD));
    ask_table("five", "sparse: {name: late, dimension: 9}");
    expect_error(&cluster, "five", "shelf-1 has a table late already, which is not as this one");
    ask_table("six", "dense: {name: a, size: 100}");
    expect_number("six", TABLE_FIRST_USER);
    expect_tables(3);
}
END_TEST

START_TEST(the_order_of_asking_is_that_of_numbers)
{
    run_text(TABLES_TEXT);
    ask_table("one", LATER);
    ask_table("two", LATE); /* the servers have not said yet where they are */
    both_held(7, 8);
    ask_table("three", "dense: {name: last, size: 1}"); /* too late for this round */
    both_extended(2, 4, 8);
    expect_number("one", TABLE_FIRST_USER + 2);
    expect_number("two", TABLE_FIRST_USER + 3);
    expect_number("three", 0);
    expect_located(2);
    both_held(9, 9);
    both_extended(4, 5, 9);
    expect_number("three", TABLE_FIRST_USER + 4);
}
END_TEST

static const struct {
    const char *text, *message;
} wrong[] = {{"dense: {name: x}", "size"},
             {"dense: {name: x, size: 5", "not valid YAML"},
             {"dense: {name: x, size: 5, codec: {top_k: {share: 0.1}}}", "only be there from the beginning"},
             {"name: shelf", "allowed"}};

START_TEST(wrong_tables_are_refused)
{
    run_text(TABLES_TEXT);
    ask_table("one", wrong[_i].text);
    expect_error(&cluster, "one", wrong[_i].message);
    ck_assert(!GOT(&cluster, "s1", HOLD));
    add("two", LATE, 2, 5);
}
END_TEST

START_TEST(the_job_must_run_and_have_tables)
{
    ask_table("one", LATE);
    expect_error(&cluster, "one", "there is no job shelf-1");
    send_submit(&cluster, TABLES_TEXT, false, 0);
    ask_table("one", LATE);
    expect_error(&cluster, "one", "does not run");
}
END_TEST

START_TEST(trainings_have_no_tables)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__TableRequest body = CAIRN__TABLE_REQUEST__INIT;

    run_job();
    body.job = "tiny-1";
    body.text = LATE;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_TABLE;
    request.table = &body;
    ask(&cluster, "one", &request);
    expect_error(&cluster, "one", "none can be added to a training");
}
END_TEST

START_TEST(there_is_a_most)
{
    char text[64];

    run_text(TABLES_TEXT);
    for (int i = 2; i < 256; i++) {
        snprintf(text, sizeof(text), "dense: {name: t%d, size: 1}", i);
        ask_table("one", text);
    }
    ask_table("one", "dense: {name: one_more, size: 1}");
    both_held(3, 3);
    cluster_forget(&cluster);
    ask_table("one", "dense: {name: one_more, size: 1}");
    expect_error(&cluster, "one", "256 tables already");
}
END_TEST

/* ---- what is out of turn */

START_TEST(answers_out_of_turn_change_nothing)
{
    run_text(TABLES_TEXT);
    held("s1", 1, 5); /* nobody asked */
    extended("s1", 1, 3);
    ask_table("one", LATE);
    extended("s1", 1, 3);
    held("s1", 1, 5);
    held("s1", 1, 99); /* again */
    held("s2", 2, 99); /* another incarnation */
    ck_assert(!GOT(&cluster, "s1", EXTEND));
    held("s2", 1, 6);
    held("s2", 1, 99);
    both_extended(2, 3, 6);
    expect_number("one", TABLE_FIRST_USER + 2);
}
END_TEST

/* Another table is asked for while one is being added, and a server comes by another connection: it is told
 * of the one that all are told of. */
START_TEST(a_server_that_is_told_again_is_told_the_same)
{
    const struct newcomer again = {"s1 again", "s1", 1, 2, 1};
    Cairn__NodeCommand *command;

    run_text(TABLES_TEXT);
    ask_table("one", LATE);
    both_held(5, 6);
    ask_table("two", LATER);
    register_newcomer(&cluster, &again);
    command = take_command(&cluster, "s1 again", CAIRN__NODE_COMMAND__BODY_EXTEND);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->extend->prepare->text->n_added, 1);
    ck_assert_uint_eq(command->extend->prepare->text->added[0]->first_version, 6);
    message_free(command);
}
END_TEST

START_TEST(a_server_with_other_tables_fails_the_job)
{
    run_text(TABLES_TEXT);
    ask_table("one", LATE);
    both_held(5, 5);
    extended("s1", 1, 2);
    EXPECT_STATE(&cluster, FAILED, "server s1 has 2 tables after some were added, not 3");
}
END_TEST

/* ---- ends */

START_TEST(a_server_that_cannot_add_fails_the_job_which_goes_on_without)
{
    Cairn__NodeCommand *command;

    run_text(TABLES_TEXT);
    add("zero", LATER, 2, 2);
    ask_table("one", LATE);
    both_held(5, 5);
    expect_number("one", 0);
    failed(&cluster, "s2", 1, "no memory");
    EXPECT_STATE(&cluster, FAILED, "s2: no memory");
    expect_error(&cluster, "one", "no table was added: s2: no memory");
    ask_table("two", LATE);
    expect_error(&cluster, "two", "does not run");
    command = resume(2);
    ck_assert_uint_eq(command->prepare->text->n_added, 1);
    ck_assert_str_eq(command->prepare->text->added[0]->text, LATER);
    message_free(command);
}
END_TEST

START_TEST(those_who_wait_are_told_of_the_end)
{
    run_text(TABLES_TEXT);
    ask_table("one", LATE);
    message_free(take_reply(&cluster, "one"));
    ASK_STOP(&cluster, "stopper", "shelf");
    expect_error(&cluster, "one", "shelf-1 runs no more, and no table was added: stopped as asked");
    message_free(resume(2));
    prepared(&cluster, "s1", 2, 0);
    prepared(&cluster, "s2", 2, 0);
    EXPECT_STATE(&cluster, RUNNING, "");
    expect_tables(2);
}
END_TEST

START_TEST(waiting_clients_get_signs_of_life)
{
    run_text(TABLES_TEXT);
    ask_table("one", LATE);
    message_free(take_reply(&cluster, "one"));
    heartbeat(&cluster, "s1");
    heartbeat(&cluster, "s2");
    pass(&cluster, SUBSCRIPTION_REPEAT_MS);
    expect_number("one", 0);
}
END_TEST

/* ---- what is durable */

/* Some servers may have been told of a table: it is added to the end, by all, and no step is lost. What was
 * only asked for is to be asked for again. */
START_TEST(a_restarted_coordinator_goes_on_adding)
{
    run_text(TABLES_TEXT);
    commit_step(1, 3);
    ask_table("one", LATE);
    both_held(5, 6);
    ck_assert(GOT(&cluster, "s1", EXTEND));
    ask_table("two", LATER);
    extended("s1", 1, 3);
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    ck_assert(GOT(&cluster, "s1", EXTEND));
    extended("s1", 1, 3);
    ck_assert(!GOT(&cluster, "s1", GO_ON)); /* s2 is awaited */
    register_engaged(&cluster, "s2", 2, 1);
    ck_assert(GOT(&cluster, "s2", EXTEND));
    expect_tables(2);
    extended("s2", 1, 3);
    ck_assert(GOT(&cluster, "s1", GO_ON) && GOT(&cluster, "s2", GO_ON));
    ck_assert(!GOT(&cluster, "s1", RELEASE));
    expect_tables(3);
    ask_table("two", LATER);
    both_held(7, 7);
    both_extended(3, 4, 7);
}
END_TEST

/* Stored before anybody is told; where the job goes back to, the table begins. */
START_TEST(a_restarted_coordinator_knows_the_tables)
{
    Cairn__NodeCommand *command;

    run_text(TABLES_TEXT);
    commit_step(1, 3);
    add("one", LATER, 2, 5);
    commit_step(1, 6);
    add("one", LATE, 3, 8);
    cluster_restart(&cluster);
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    command = take_command(&cluster, "s1", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->prepare->step, 6);
    ck_assert_uint_eq(command->prepare->text->n_added, 2);
    ck_assert_uint_eq(command->prepare->text->added[0]->first_version, 5); /* durable at 6 */
    ck_assert_uint_eq(command->prepare->text->added[1]->first_version, 6); /* nothing of it is */
    message_free(command);
    prepared(&cluster, "s1", 2, 0);
    prepared(&cluster, "s2", 2, 0);
    expect_tables(4);
    expect_located(2);
    ask_table("one", LATE);
    expect_number("one", TABLE_FIRST_USER + 3);
}
END_TEST

START_TEST(a_resume_keeps_the_tables)
{
    Cairn__NodeCommand *command;

    run_text(TABLES_TEXT);
    commit_step(1, 3);
    add("one", LATE, 2, 5);
    ASK_STOP(&cluster, "stopper", "shelf");
    command = resume(2); /* by a file that says nothing of it */
    ck_assert_uint_eq(command->prepare->step, 3);
    ck_assert_uint_eq(command->prepare->text->n_added, 1);
    ck_assert_uint_eq(command->prepare->text->added[0]->first_version, 3);
    message_free(command);
    expect_tables(3);
}
END_TEST

START_TEST(jobs_are_submitted_without_added_tables)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__SubmitRequest body = CAIRN__SUBMIT_REQUEST__INIT;
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;
    Cairn__AddedTable added = CAIRN__ADDED_TABLE__INIT, *list = &added;

    added.text = LATE;
    text.text = TABLES_TEXT;
    text.file_name = "job";
    text.base_directory = "/";
    text.n_added = 1;
    text.added = &list;
    body.text = &text;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SUBMIT;
    request.submit = &body;
    ask(&cluster, "one", &request);
    expect_error(&cluster, "one", "added to a job that runs");
}
END_TEST

/* ---- generations */

/* One float lies on one server; the other makes no generations, until it holds rows of a table that was
 * added. */
START_TEST(servers_that_held_nothing_are_waited_for_from_then_on)
{
    register_from(&cluster, "s1", "s1", 1, 1);
    register_from(&cluster, "s2", "s2", 1, 1);
    send_submit(&cluster, ONE_TEXT, false, 0);
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s2", 1, 0);
    ask_table("one", LATE);
    held("s1", 1, 5);
    held("s2", 1, 5);
    extended("s1", 1, 2);
    extended("s2", 1, 2);
    expect_number("one", TABLE_FIRST_USER + 1);
    cluster_forget(&cluster);
    committed(&cluster, "s2", 1, 5); /* the step that it was added at: nothing of it */
    ck_assert(GOT(&cluster, "s1", COMMITTED));
    committed(&cluster, "s2", 1, 6);
    ck_assert(!GOT(&cluster, "s1", COMMITTED));
    committed(&cluster, "s1", 1, 6);
    ck_assert(GOT(&cluster, "s1", COMMITTED));
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const adding[] = {a_table_begins_where_the_furthest_server_is,
                                   clients_that_ask_for_one_table_get_one,
                                   the_order_of_asking_is_that_of_numbers,
                                   the_job_must_run_and_have_tables,
                                   trainings_have_no_tables,
                                   answers_out_of_turn_change_nothing,
                                   a_server_that_is_told_again_is_told_the_same,
                                   a_server_with_other_tables_fails_the_job};
    const TTest *const ends[] = {a_server_that_cannot_add_fails_the_job_which_goes_on_without,
                                 those_who_wait_are_told_of_the_end,
                                 waiting_clients_get_signs_of_life,
                                 a_restarted_coordinator_goes_on_adding,
                                 a_restarted_coordinator_knows_the_tables,
                                 a_resume_keeps_the_tables,
                                 jobs_are_submitted_without_added_tables,
                                 servers_that_held_nothing_are_waited_for_from_then_on};
    Suite *suite = suite_create("coordinator_growth");
    TCase *refusals = tcase_create("refusals");

    ADD(suite, "adding", adding);
    ADD(suite, "ends", ends);
    tcase_add_checked_fixture(refusals, set_up, tear_down);
    tcase_add_loop_test(refusals, wrong_tables_are_refused, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
    tcase_add_test(refusals, there_is_a_most);
    tcase_set_timeout(refusals, 60);
    suite_add_tcase(suite, refusals);
    return suite;
}

CHECK_MAIN(make_suite)
