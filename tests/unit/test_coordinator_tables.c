/* The coordinator's state machine: jobs with tables, on which servers alone work, and the commits that
 * clients ask for. */
#include "check_main.h"
#include "tiny_job.h"

#define TABLES_TEXT                                                                                          \
    "name: shelf\ntables:\n  - dense: {name: a, size: 100}\n  - sparse: {name: b, dimension: 4}\n"           \
    "train: {optimizer: sgd}\ncluster: {servers: 2}\n"

/* Running on s1 and s2. */
static void run_tables(void)
{
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    send_submit(&cluster, TABLES_TEXT, false, 0);
    message_free(take_reply(&cluster, "submitter"));
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s2", 1, 0);
    EXPECT_STATE(&cluster, RUNNING, "");
}

static void ask_commit(const char *client, uint64_t step)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__CommitRequest body = CAIRN__COMMIT_REQUEST__INIT;

    body.job = "shelf-1";
    body.step = step;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_COMMIT;
    request.commit = &body;
    ask(&cluster, client, &request);
}

static void refuse_commit(const char *server, uint64_t step)
{
    Cairn__CommitRefused body = CAIRN__COMMIT_REFUSED__INIT;

    body.job = 1;
    body.incarnation = 1;
    body.step = step;
    body.message = "table a is at version 9 already";
    SAY(&cluster, server, COMMIT_REFUSED, commit_refused, &body);
}

static void locate_live(const char *client, const char *job)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__LocateRequest body = CAIRN__LOCATE_REQUEST__INIT;

    body.job = (char *)job;
    body.live = true;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_LOCATE;
    request.locate = &body;
    ask(&cluster, client, &request);
}

/* A reply to a client that it will be told where the job is. */
static void expect_no_shards(const char *client)
{
    Cairn__ClientReply *reply = take_reply(&cluster, client);

    ck_assert_ptr_nonnull(reply);
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_LOCATION);
    ck_assert_uint_eq(reply->location->n_shards, 0);
    message_free(reply);
}

/* A status reply to a client that says what is committed. */
static void expect_committed(const char *client, uint64_t step)
{
    Cairn__ClientReply *reply = take_reply(&cluster, client);

    ck_assert_ptr_nonnull(reply);
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_JOB);
    ck_assert_uint_eq(reply->job->committed_step, step);
    message_free(reply);
}

/* The step of the commit that a server is told to make, or 0. */
static uint64_t commit_command(const char *server)
{
    Cairn__NodeCommand *command = take_command(&cluster, server, CAIRN__NODE_COMMAND__BODY_COMMIT);
    uint64_t step = command ? command->commit->step : 0;

    message_free(command);
    return step;
}

/* ---- the life of a job */

START_TEST(servers_are_all_that_it_waits_for)
{
    register_worker(&cluster, "w1");
    send_submit(&cluster, TABLES_TEXT, false, 0);
    EXPECT_STATE(&cluster, WAITING, "waits for 2 more servers");
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 to load state and data");
    ck_assert_str_eq(cluster.jobs[1].last_line, "preparing from step 0 on servers s1, s2");
    ck_assert(!GOT(&cluster, "w1", PREPARE));
}
END_TEST

START_TEST(servers_get_all_slots_of_the_tables)
{
    Cairn__NodeCommand *command;

    run_tables();
    command = take_command(&cluster, "s2", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_ptr_nonnull(command);
    ck_assert_str_eq(command->prepare->text->text, TABLES_TEXT);
    ck_assert_uint_eq(command->prepare->n_shards, 4);
    ck_assert_uint_eq(command->prepare->n_slot_shards, 1024);
    message_free(command);
    ck_assert(GOT(&cluster, "s1", PREPARE));
}
END_TEST

START_TEST(it_runs_without_an_epoch)
{
    Cairn__ClientReply *reply;

    run_tables();
    ck_assert_str_eq(cluster.jobs[1].last_line, "running from step 0: clients can connect");
    ck_assert(!GOT(&cluster, "s1", EPOCH));
    reply = status_of(&cluster, "shelf");
    ck_assert_uint_eq(reply->job->tables, 2);
    ck_assert_uint_eq(reply->job->servers, 2);
    ck_assert_uint_eq(reply->job->workers, 0);
    ck_assert_uint_eq(reply->job->epochs, 0);
    ck_assert_uint_eq(reply->job->final_step, 0);
    message_free(reply);
}
END_TEST

START_TEST(workers_stay_idle)
{
    register_worker(&cluster, "w1");
    register_worker(&cluster, "w2");
    run_tables();
    ck_assert(!GOT(&cluster, "w1", PREPARE));
    send_submit(&cluster, TINY_TEXT, false, 0);
    ck_assert(GOT(&cluster, "w1", PREPARE)); /* servers hold several jobs */
    ck_assert(GOT(&cluster, "w2", PREPARE));
}
END_TEST

START_TEST(steps_follow_the_generations)
{
    Cairn__ClientReply *reply;

    run_tables();
    committed(&cluster, "s1", 1, 100);
    ck_assert(!GOT(&cluster, "s1", COMMITTED));
    committed(&cluster, "s2", 1, 100);
    ck_assert(GOT(&cluster, "s1", COMMITTED));
    ck_assert(GOT(&cluster, "s2", COMMITTED));
    reply = status_of(&cluster, "shelf");
    ck_assert_uint_eq(reply->job->step, 100);
    ck_assert_uint_eq(reply->job->committed_step, 100);
    message_free(reply);
    committed(&cluster, "s1", 1, WIRE_STEP_MAX + 1); /* no step of ours */
    committed(&cluster, "s2", 1, WIRE_STEP_MAX + 1);
    ck_assert(!GOT(&cluster, "s1", COMMITTED));
}
END_TEST

START_TEST(server_without_state_is_not_waited_for)
{
    register_from(&cluster, "s1", "s1", 1, 1);
    register_from(&cluster, "s2", "s2", 1, 1);
    send_submit(&cluster,
                "name: one\ntables: [dense: {name: a, size: 1}]\ntrain: {optimizer: sgd}\n"
                "cluster: {servers: 2}\n",
                false, 0);
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s2", 1, 0);
    committed(&cluster, "s2", 1, 5); /* slot 1021, which is the second shard's */
    ck_assert(GOT(&cluster, "s1", COMMITTED));
}
END_TEST

START_TEST(stop_ends_it_at_the_committed_step)
{
    run_tables();
    commit_step(1, 100);
    ASK_STOP(&cluster, "stopper", "shelf");
    EXPECT_STATE(&cluster, STOPPED, "stopped as asked; durable up to step 100");
    ck_assert(GOT(&cluster, "s1", RELEASE));
    ck_assert(GOT(&cluster, "s2", RELEASE));
}
END_TEST

START_TEST(stop_before_it_runs)
{
    send_submit(&cluster, TABLES_TEXT, false, 0);
    ASK_STOP(&cluster, "stopper", "shelf");
    EXPECT_STATE(&cluster, STOPPED, "stopped before it ran");
}
END_TEST

START_TEST(resume_goes_on_from_the_committed_step)
{
    Cairn__NodeCommand *command;

    run_tables();
    commit_step(1, 100);
    ASK_STOP(&cluster, "stopper", "shelf");
    cluster_forget(&cluster);
    send_submit(&cluster, TABLES_TEXT, true, 0);
    command = take_command(&cluster, "s1", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->prepare->step, 100);
    ck_assert_uint_eq(command->prepare->incarnation, 2);
    message_free(command);
    prepared(&cluster, "s1", 2, 0);
    prepared(&cluster, "s2", 2, 0);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_str_eq(cluster.jobs[1].last_line, "running from step 100: clients can connect");
}
END_TEST

START_TEST(resume_wants_the_same_tables)
{
    run_tables();
    ASK_STOP(&cluster, "stopper", "shelf");
    message_free(take_reply(&cluster, "stopper"));
    send_submit(&cluster,
                "name: shelf\ntables: [dense: {name: a, size: 101}]\ntrain: {optimizer: sgd}\n"
                "cluster: {servers: 2}\n",
                true, 0);
    expect_error(&cluster, "submitter", "the job file changed");
}
END_TEST

/* A program joins and is told this id; NULL: the reply is the caller's to take. */
static void join(const char *client, const char *text, bool resume, const char *id)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__SubmitRequest body = CAIRN__SUBMIT_REQUEST__INIT;
    Cairn__JobText job = CAIRN__JOB_TEXT__INIT;
    Cairn__ClientReply *reply;

    job.text = (char *)text;
    job.file_name = "job";
    job.base_directory = "/";
    body.text = &job;
    body.join = true;
    body.resume = resume;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SUBMIT;
    request.submit = &body;
    ask(&cluster, client, &request);
    if (!id)
        return;
    reply = take_reply(&cluster, client);
    ck_assert_ptr_nonnull(reply);
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_JOB);
    ck_assert_str_eq(reply->job->id, id);
    message_free(reply);
}

START_TEST(programs_that_join_make_one_job)
{
    join("one", TABLES_TEXT, false, "shelf-1"); /* waits for servers */
    join("two", TABLES_TEXT, true, "shelf-1");
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    join("three", TABLES_TEXT, false, "shelf-1"); /* prepares */
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s2", 1, 0);
    join("four", TABLES_TEXT, true, "shelf-1"); /* runs */
    EXPECT_STATE(&cluster, RUNNING, "");
    join("five", "name: shelf\ntables: [dense: {name: a, size: 101}]\ntrain: {optimizer: sgd}\n", true, NULL);
    expect_error(&cluster, "five", "shelf-1 is there already, with other tables");
    join("six", "name: shelf\ntables: 7\n", true, NULL);
    expect_error(&cluster, "six", "tables");
}
END_TEST

START_TEST(a_job_that_has_ended_is_joined_by_a_resume_only)
{
    run_tables();
    commit_step(1, 100);
    ASK_STOP(&cluster, "stopper", "shelf");
    join("one", TABLES_TEXT, true, "shelf-1");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 to load state and data");
    ASK_STOP(&cluster, "stopper", "shelf");
    join("two", TABLES_TEXT, false, "shelf-2");
    join("three", TABLES_TEXT, true, "shelf-2");
}
END_TEST

START_TEST(lost_server_is_waited_for)
{
    run_tables();
    commit_step(1, 100);
    ask_commit("a", 107);
    leave(&cluster, "s2");
    EXPECT_STATE(&cluster, WAITING, "waits for server s2, which holds its state");
    expect_error(&cluster, "a", "shelf-1 runs no more, and step 107 was not committed");
    ck_assert(GOT(&cluster, "s1", RELEASE));
    register_server(&cluster, "s2");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 to load state and data");
    prepared(&cluster, "s1", 2, 0);
    prepared(&cluster, "s2", 2, 0);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_str_eq(cluster.jobs[1].last_line, "running from step 100: clients can connect");
}
END_TEST

START_TEST(restart_goes_on_with_it)
{
    Cairn__ClientReply *reply;

    run_tables();
    commit_step(1, 100);
    cluster_restart(&cluster);
    EXPECT_STATE(&cluster, RUNNING, "");
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    ck_assert(GOT(&cluster, "s1", COMMITTED) && GOT(&cluster, "s2", COMMITTED));
    ck_assert(GOT(&cluster, "s1", GO_ON) && GOT(&cluster, "s2", GO_ON)); /* that may have been lost */
    ck_assert(!GOT(&cluster, "s1", RELEASE) && !GOT(&cluster, "s1", PREPARE));
    commit_step(1, 200);
    locate_live("client", "shelf");
    reply = take_reply(&cluster, "client");
    ck_assert_uint_eq(reply->location->incarnation, 1);
    ck_assert_uint_eq(reply->location->committed_step, 200);
    message_free(reply);
}
END_TEST

START_TEST(reports_of_trainings_do_not_count)
{
    run_tables();
    progress(&cluster, "s1", 1, 5);
    validated(&cluster, "s1", 1, 5, 0.5);
    reached(&cluster, "s1", 1, 5, TINY_HASH);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* ---- finding it */

START_TEST(running_tables_can_be_located)
{
    Cairn__ClientReply *reply;

    locate_live("client", "shelf");
    expect_error(&cluster, "client", "there is no job shelf");
    send_submit(&cluster, TABLES_TEXT, false, 0);
    locate_live("client", "shelf");
    expect_no_shards("client"); /* waits for 2 more servers */
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    prepared(&cluster, "s1", 1, 0);
    ck_assert_ptr_null(take_reply(&cluster, "client"));
    pass(&cluster, SUBSCRIPTION_REPEAT_MS);
    expect_no_shards("client"); /* a sign of life */
    prepared(&cluster, "s2", 1, 0);
    reply = take_reply(&cluster, "client");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_LOCATION);
    ck_assert_uint_eq(reply->location->job, 1);
    ck_assert_str_eq(reply->location->job_id, "shelf-1");
    ck_assert_uint_eq(reply->location->incarnation, 1);
    ck_assert_uint_eq(reply->location->committed_step, 0);
    ck_assert_str_eq(reply->location->text->text, TABLES_TEXT);
    ck_assert_uint_eq(reply->location->n_shards, 4);
    ck_assert_str_eq(reply->location->shards[3]->endpoint, "tcp://h:2");
    ck_assert_uint_eq(reply->location->n_slot_shards, 1024);
    message_free(reply);
    ASK_LOCATE(&cluster, "client", "shelf"); /* the committed state is another question */
    expect_error(&cluster, "client", "shelf-1 has nothing committed yet");
    ASK_STOP(&cluster, "stopper", "shelf");
    locate_live("client", "shelf");
    expect_error(&cluster, "client", "shelf-1 does not run: stopped as asked");
}
END_TEST

START_TEST(running_trainings_can_be_located_too)
{
    Cairn__ClientReply *reply;

    run_job();
    locate_live("client", "tiny");
    reply = take_reply(&cluster, "client");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_LOCATION);
    message_free(reply);
}
END_TEST

/* ---- commits that clients ask for */

START_TEST(commit_is_answered_when_all_servers_have_it)
{
    run_tables();
    ask_commit("a", 7);
    ck_assert_uint_eq(commit_command("s1"), 7);
    ck_assert_uint_eq(commit_command("s2"), 7);
    committed(&cluster, "s1", 1, 7);
    ck_assert_ptr_null(take_reply(&cluster, "a"));
    committed(&cluster, "s2", 1, 7);
    expect_committed("a", 7);
    ck_assert_ptr_null(take_reply(&cluster, "a"));
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(committed_steps_are_answered_at_once)
{
    run_tables();
    commit_step(1, 100);
    cluster_forget(&cluster);
    ask_commit("a", 99);
    expect_committed("a", 100);
    ask_commit("a", 0);
    expect_committed("a", 100);
    ck_assert_uint_eq(commit_command("s1"), 0);
}
END_TEST

START_TEST(several_clients_wait_for_one_commit)
{
    run_tables();
    ask_commit("a", 7);
    ask_commit("b", 7);
    ask_commit("c", 8);
    ck_assert_uint_eq(commit_command("s1"), 7);
    ck_assert_uint_eq(commit_command("s1"), 8);
    ck_assert_uint_eq(commit_command("s1"), 0);
    commit_step(1, 7);
    expect_committed("a", 7);
    expect_committed("b", 7);
    ck_assert_ptr_null(take_reply(&cluster, "c"));
    commit_step(1, 8);
    expect_committed("c", 8);
}
END_TEST

START_TEST(later_generations_answer_too)
{
    run_tables();
    ask_commit("a", 7);
    commit_step(1, 100);
    expect_committed("a", 100);
}
END_TEST

START_TEST(waiting_clients_get_signs_of_life)
{
    run_tables();
    ask_commit("a", 7);
    ck_assert_int_le(state_deadline_ms(cluster.state), cluster.now.monotonic_ms + SUBSCRIPTION_REPEAT_MS);
    heartbeat(&cluster, "s1");
    heartbeat(&cluster, "s2");
    pass(&cluster, SUBSCRIPTION_REPEAT_MS);
    expect_committed("a", 0);
    ck_assert_ptr_null(take_reply(&cluster, "a"));
}
END_TEST

START_TEST(a_new_request_ends_the_wait)
{
    run_tables();
    ask_commit("a", 7);
    ASK_JOB(&cluster, "a", "shelf");
    message_free(take_reply(&cluster, "a"));
    commit_step(1, 7);
    ck_assert_ptr_null(take_reply(&cluster, "a"));
    ask_commit("a", 8);
    ask_commit("a", 8); /* asked again: told again */
    ck_assert_uint_eq(commit_command("s1"), 7);
    ck_assert_uint_eq(commit_command("s1"), 8);
    ck_assert_uint_eq(commit_command("s1"), 8);
    commit_step(1, 8);
    expect_committed("a", 8);
    ck_assert_ptr_null(take_reply(&cluster, "a"));
}
END_TEST

START_TEST(commits_need_running_tables)
{
    send_submit(&cluster, TABLES_TEXT, false, 0);
    ask_commit("a", 7);
    expect_error(&cluster, "a", "shelf-1 does not run: waits for 2 more servers");
    ask_commit("a", WIRE_STEP_MAX);
    expect_error(&cluster, "a", "does not run");
}
END_TEST

START_TEST(trainings_commit_by_themselves)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__CommitRequest body = CAIRN__COMMIT_REQUEST__INIT;

    run_job();
    body.job = "tiny";
    body.step = 3;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_COMMIT;
    request.commit = &body;
    ask(&cluster, "a", &request);
    expect_error(&cluster, "a", "tiny-1 has no tables: a training commits by itself");
}
END_TEST

START_TEST(a_failing_job_tells_those_who_wait)
{
    run_tables();
    ask_commit("a", 7);
    ask_commit("b", 9);
    failed(&cluster, "s1", 1, "disk full");
    expect_error(&cluster, "a", "shelf-1 runs no more, and step 7 was not committed: s1: disk full");
    expect_error(&cluster, "b", "step 9 was not committed");
}
END_TEST

START_TEST(a_stop_tells_those_who_wait)
{
    run_tables();
    ask_commit("a", 7);
    ASK_STOP(&cluster, "stopper", "shelf");
    expect_error(&cluster, "a", "step 7 was not committed: stopped as asked; durable up to step 0");
}
END_TEST

START_TEST(refused_commits_leave_the_job_running)
{
    run_tables();
    ask_commit("a", 7);
    ask_commit("b", 8);
    refuse_commit("s1", 7);
    expect_error(&cluster, "a", "s1: table a is at version 9 already");
    refuse_commit("s2", 7);
    ck_assert_ptr_null(take_reply(&cluster, "a"));
    ck_assert_ptr_null(take_reply(&cluster, "b"));
    EXPECT_STATE(&cluster, RUNNING, "");
    commit_step(1, 8);
    expect_committed("b", 8);
}
END_TEST

/* s1 made it, s2 never will, in any order: s1 waits for nothing, and the next commit is made. */
START_TEST(a_commit_that_only_some_make_is_given_up)
{
    run_tables();
    commit_step(1, 5);
    ask_commit("a", 7);
    if (_i == 0)
        committed(&cluster, "s1", 1, 7);
    refuse_commit("s2", 7);
    expect_error(&cluster, "a", "s2: table a is at version 9 already");
    if (_i == 1)
        committed(&cluster, "s1", 1, 7);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert(GOT(&cluster, "s1", ABANDON) && !GOT(&cluster, "s2", ABANDON));
    ask_commit("b", 9);
    commit_step(1, 9);
    expect_committed("b", 9);
}
END_TEST

/* It came too early; the step's regular generation comes later. */
START_TEST(a_step_that_all_refused_may_come_later)
{
    run_tables();
    refuse_commit("s1", 100);
    refuse_commit("s2", 100);
    commit_step(1, 100);
    EXPECT_STATE(&cluster, RUNNING, "");
    ask_commit("a", 100);
    expect_committed("a", 100);
}
END_TEST

START_TEST(refusals_of_what_is_committed_do_not_count)
{
    run_tables();
    commit_step(1, 7);
    refuse_commit("s2", 7);
    refuse_commit("s2", 6);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(trainings_do_not_stand_refusals)
{
    run_job();
    refuse_commit("s1", 5);
    EXPECT_STATE(&cluster, FAILED, "s1: table a is at version 9 already");
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const life[] = {servers_are_all_that_it_waits_for,
                                 servers_get_all_slots_of_the_tables,
                                 it_runs_without_an_epoch,
                                 workers_stay_idle,
                                 steps_follow_the_generations,
                                 server_without_state_is_not_waited_for,
                                 stop_ends_it_at_the_committed_step,
                                 stop_before_it_runs,
                                 resume_goes_on_from_the_committed_step,
                                 resume_wants_the_same_tables,
                                 programs_that_join_make_one_job,
                                 a_job_that_has_ended_is_joined_by_a_resume_only,
                                 lost_server_is_waited_for,
                                 restart_goes_on_with_it,
                                 reports_of_trainings_do_not_count};
    const TTest *const locate[] = {running_tables_can_be_located, running_trainings_can_be_located_too};
    const TTest *const commits[] = {commit_is_answered_when_all_servers_have_it,
                                    committed_steps_are_answered_at_once,
                                    several_clients_wait_for_one_commit,
                                    later_generations_answer_too,
                                    waiting_clients_get_signs_of_life,
                                    a_new_request_ends_the_wait,
                                    commits_need_running_tables,
                                    trainings_commit_by_themselves,
                                    a_failing_job_tells_those_who_wait,
                                    a_stop_tells_those_who_wait,
                                    refused_commits_leave_the_job_running,
                                    a_step_that_all_refused_may_come_later,
                                    refusals_of_what_is_committed_do_not_count,
                                    trainings_do_not_stand_refusals};
    Suite *suite = suite_create("coordinator_tables");
    TCase *orders = tcase_create("orders");

    ADD(suite, "life", life);
    ADD(suite, "locate", locate);
    ADD(suite, "commits", commits);
    tcase_add_checked_fixture(orders, set_up, tear_down);
    tcase_add_loop_test(orders, a_commit_that_only_some_make_is_given_up, 0, 2);
    suite_add_tcase(suite, orders);
    return suite;
}

CHECK_MAIN(make_suite)
