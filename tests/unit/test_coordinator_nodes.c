/* The coordinator's state machine: who is a node of the cluster, and since when no longer. */
#include "check_main.h"
#include "tiny_job.h"

START_TEST(nodes_are_welcomed)
{
    Cairn__NodeCommand *command;

    register_worker(&cluster, "w1");
    command = take_command(&cluster, "w1", CAIRN__NODE_COMMAND__BODY_WELCOME);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->welcome->lease_ms, FAKE_LEASE_MS);
    ck_assert_uint_eq(command->welcome->heartbeat_ms, 1000);
    message_free(command);
    heartbeat(&cluster, "w1");
    ck_assert(GOT(&cluster, "w1", WELCOME));
    register_worker(&cluster, "w1"); /* it did not hear the first answer */
    ck_assert(GOT(&cluster, "w1", WELCOME));
    heartbeat(&cluster, "nobody");
    ck_assert(!GOT(&cluster, "nobody", WELCOME));
}
END_TEST

/* Owns: the caller, the reply. */
static Cairn__ClientReply *ask_nodes(void)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__NodesRequest body = CAIRN__NODES_REQUEST__INIT;
    Cairn__ClientReply *reply;

    request.body_case = CAIRN__CLIENT_REQUEST__BODY_NODES;
    request.nodes = &body;
    ask(&cluster, "counter", &request);
    reply = take_reply(&cluster, "counter");
    ck_assert_ptr_nonnull(reply);
    return reply;
}

static size_t count_nodes(void)
{
    Cairn__ClientReply *reply = ask_nodes();
    size_t count = reply->nodes->n_nodes;

    message_free(reply);
    return count;
}

/* s1, s2, w1, w2 in this order: two jobs are on the servers, and the first one has the workers. */
START_TEST(nodes_tell_of_their_jobs)
{
    Cairn__ClientReply *reply;

    submit_with_nodes();
    register_worker(&cluster, "w3");
    register_worker(&cluster, "w4");
    register_worker(&cluster, "w5");
    send_submit(&cluster, TINY_TEXT, false, 0);
    reply = ask_nodes();
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(reply->nodes->nodes[i]->n_jobs, 2);
        ck_assert_str_eq(reply->nodes->nodes[i]->jobs[0], "tiny-1");
        ck_assert_str_eq(reply->nodes->nodes[i]->jobs[1], "tiny-2");
        ck_assert_str_eq(reply->nodes->nodes[i]->job, "");
    }
    ck_assert_uint_eq(reply->nodes->nodes[2]->n_jobs, 1);
    ck_assert_str_eq(reply->nodes->nodes[2]->jobs[0], reply->nodes->nodes[2]->job);
    message_free(reply);
}
END_TEST

START_TEST(silent_nodes_are_lost)
{
    register_worker(&cluster, "w1");
    register_worker(&cluster, "w2");
    pass(&cluster, 4000);
    heartbeat(&cluster, "w1");
    pass(&cluster, 999);
    ck_assert_uint_eq(count_nodes(), 2);
    pass(&cluster, 1);
    ck_assert_uint_eq(count_nodes(), 1);
    leave(&cluster, "w1");
    ck_assert_uint_eq(count_nodes(), 0);
}
END_TEST

START_TEST(own_pauses_are_not_the_nodes_silence)
{
    struct event tick = {.type = EVENT_TICK};

    register_worker(&cluster, "w1");
    pass(&cluster, 1000);
    ck_assert_int_le(state_deadline_ms(cluster.state) - cluster.now.monotonic_ms, 1000);
    cluster.now.monotonic_ms += 60000;
    cluster_handle(&cluster, &tick);
    ck_assert_uint_eq(count_nodes(), 1);
    pass(&cluster, 5000);
    ck_assert_uint_eq(count_nodes(), 0);
}
END_TEST

START_TEST(second_live_node_of_a_name_is_refused)
{
    register_from(&cluster, "a", "w1", 1, 0);
    register_from(&cluster, "b", "w1", 2, 0);
    ck_assert(!GOT(&cluster, "b", REFUSAL));
    ck_assert(!GOT(&cluster, "b", WELCOME));
    pass(&cluster, 1000);
    heartbeat(&cluster, "a");
    ck_assert(GOT(&cluster, "b", REFUSAL));
    pass(&cluster, 4000);
    ck_assert_uint_eq(count_nodes(), 1);
}
END_TEST

/* What a node said before it died may be read after its heir's registration, as when the coordinator stood
 * still. */
START_TEST(last_words_of_a_dead_node_refuse_nobody)
{
    register_from(&cluster, "a", "w1", 1, 0);
    register_from(&cluster, "b", "w1", 2, 0);
    heartbeat(&cluster, "a");
    register_from(&cluster, "a", "w1", 1, 0);
    ck_assert(!GOT(&cluster, "b", REFUSAL));
    pass(&cluster, 3000);
    ck_assert(GOT(&cluster, "b", WELCOME));
    ck_assert(!GOT(&cluster, "b", REFUSAL));
    ck_assert_uint_eq(count_nodes(), 1);
}
END_TEST

START_TEST(name_of_a_silent_node_is_inherited)
{
    register_from(&cluster, "a", "w1", 1, 0);
    register_from(&cluster, "b", "w1", 2, 0);
    pass(&cluster, 2750);
    ck_assert(!GOT(&cluster, "b", WELCOME));
    pass(&cluster, 250);
    ck_assert(GOT(&cluster, "b", WELCOME));
    ck_assert_uint_eq(count_nodes(), 1);
}
END_TEST

START_TEST(name_of_a_gone_connection_is_inherited_at_once)
{
    struct event gone = {
        .type = EVENT_PEER_GONE, .peer = peer_named("a"), .reason = "its connection is gone"};

    register_from(&cluster, "a", "w1", 1, 0);
    ck_assert(GOT(&cluster, "a", WELCOME));
    register_from(&cluster, "b", "w1", 2, 0);
    ck_assert(GOT(&cluster, "a", WELCOME)); /* the probe */
    cluster_handle(&cluster, &gone);
    ck_assert(GOT(&cluster, "b", WELCOME));
    ck_assert_uint_eq(count_nodes(), 1);
}
END_TEST

START_TEST(same_process_replaces_itself)
{
    register_from(&cluster, "a", "w1", 1, 0);
    register_from(&cluster, "b", "w1", 1, 0);
    ck_assert(GOT(&cluster, "b", WELCOME));
    ck_assert_uint_eq(count_nodes(), 1);
    heartbeat(&cluster, "a"); /* the old connection is nobody's */
    cluster_forget(&cluster);
    heartbeat(&cluster, "a");
    ck_assert(!GOT(&cluster, "a", WELCOME));
}
END_TEST

/* A node has died twice while the coordinator stood still, which reads the second registration before the
 * first. */
START_TEST(dead_heirs_refuse_nobody)
{
    struct event gone = {
        .type = EVENT_PEER_GONE, .peer = peer_named("a"), .reason = "its connection is gone"};

    register_from(&cluster, "a", "w1", 1, 0);
    register_from(&cluster, "c", "w1", 3, 0);
    register_from(&cluster, "b", "w1", 2, 0);
    cluster_handle(&cluster, &gone);
    gone.peer = peer_named("b");
    cluster_handle(&cluster, &gone);
    ck_assert(!GOT(&cluster, "c", REFUSAL));
    register_from(&cluster, "c", "w1", 3, 0); /* it has waited for an answer */
    ck_assert(GOT(&cluster, "c", WELCOME));
    ck_assert_uint_eq(count_nodes(), 1);
}
END_TEST

START_TEST(contenders_that_think_again_are_forgotten)
{
    register_from(&cluster, "a", "w1", 1, 0);
    register_from(&cluster, "b", "w1", 2, 0);
    register_from(&cluster, "c", "w1", 3, 0); /* b is forgotten: one contender is enough */
    ck_assert(!GOT(&cluster, "b", REFUSAL));
    register_from(&cluster, "c", "w2", 3, 0);
    ck_assert(GOT(&cluster, "c", WELCOME));
    pass(&cluster, 4000);
    heartbeat(&cluster, "c");
    pass(&cluster, 2000);
    ck_assert_uint_eq(count_nodes(), 1);
}
END_TEST

START_TEST(nonsensical_registrations_are_refused)
{
    struct event mismatch = {.type = EVENT_MISMATCH, .peer = peer_named("x"), .reason = "protocol 2"};

    register_from(&cluster, "a", "a name with spaces", 1, 0);
    ck_assert(GOT(&cluster, "a", REFUSAL));
    cluster_handle(&cluster, &mismatch);
    ck_assert(GOT(&cluster, "x", REFUSAL));
    register_from(&cluster, "a", "w1", 1, 0);
    register_from(&cluster, "a", "w2", 1, 0); /* one peer is one node */
    ck_assert_uint_eq(count_nodes(), 1);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const nodes[] = {nodes_are_welcomed,
                                  nodes_tell_of_their_jobs,
                                  silent_nodes_are_lost,
                                  own_pauses_are_not_the_nodes_silence,
                                  second_live_node_of_a_name_is_refused,
                                  name_of_a_silent_node_is_inherited,
                                  name_of_a_gone_connection_is_inherited_at_once,
                                  same_process_replaces_itself,
                                  last_words_of_a_dead_node_refuse_nobody,
                                  dead_heirs_refuse_nobody,
                                  contenders_that_think_again_are_forgotten,
                                  nonsensical_registrations_are_refused};
    Suite *suite = suite_create("coordinator_nodes");

    ADD(suite, "nodes", nodes);
    return suite;
}

CHECK_MAIN(make_suite)
