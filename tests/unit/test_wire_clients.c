/* Requests of clients and their replies: what is taken as it was sent, and each check that protobuf cannot
 * make. */
#include "check_main.h"
#include "control_messages.h"

/* A message of a kind around a body. */
#define CLIENT_REQUEST(member, case_name, body)                                                              \
    &(Cairn__ClientRequest)                                                                                  \
    {                                                                                                        \
        PROTOBUF_C_MESSAGE_INIT(&cairn__client_request__descriptor), PROTOCOL_VERSION, 1,                    \
            CAIRN__CLIENT_REQUEST__BODY_##case_name, .member = (body)                                        \
    }
#define CLIENT_REPLY(member, case_name, body)                                                                \
    &(Cairn__ClientReply)                                                                                    \
    {                                                                                                        \
        PROTOBUF_C_MESSAGE_INIT(&cairn__client_reply__descriptor), PROTOCOL_VERSION, 1,                      \
            CAIRN__CLIENT_REPLY__BODY_##case_name, .member = (body)                                          \
    }

START_TEST(requests_name_their_job)
{
    Cairn__JobRequest job = CAIRN__JOB_REQUEST__INIT;
    Cairn__WatchRequest watch = CAIRN__WATCH_REQUEST__INIT;
    Cairn__StopRequest stop = CAIRN__STOP_REQUEST__INIT;
    Cairn__LocateRequest locate = CAIRN__LOCATE_REQUEST__INIT;
    Cairn__LogsRequest logs = CAIRN__LOGS_REQUEST__INIT;
    Cairn__CommitRequest commit = CAIRN__COMMIT_REQUEST__INIT;
    Cairn__TableRequest table = CAIRN__TABLE_REQUEST__INIT;
    Cairn__DeleteRequest delete_job = CAIRN__DELETE_REQUEST__INIT;
    const char *complaint = _i == 0 ? "id" : _i == 1 ? NULL : "control characters";

    job.job = watch.job = stop.job = locate.job = logs.job = (char *)(_i == 0   ? ""
                                                                      : _i == 1 ? "mnist-1"
                                                                                : "a\tb");
    check_verdict(client_request, CLIENT_REQUEST(job, JOB, &job), complaint);
    check_verdict(client_request, CLIENT_REQUEST(watch, WATCH, &watch), complaint);
    check_verdict(client_request, CLIENT_REQUEST(stop, STOP, &stop), complaint);
    check_verdict(client_request, CLIENT_REQUEST(locate, LOCATE, &locate), complaint);
    check_verdict(client_request, CLIENT_REQUEST(logs, LOGS, &logs), complaint);
    delete_job.job = job.job;
    check_verdict(client_request, CLIENT_REQUEST(delete_job, DELETE_JOB, &delete_job), complaint);
    commit.job = job.job;
    check_verdict(client_request, CLIENT_REQUEST(commit, COMMIT, &commit), complaint);
    table.job = job.job;
    check_verdict(client_request, CLIENT_REQUEST(table, TABLE, &table), "text");
    table.text = (char *)"dense:\n\tname: x\n"; /* as in a file */
    check_verdict(client_request, CLIENT_REQUEST(table, TABLE, &table), complaint);
}
END_TEST

START_TEST(nobody_scales_out_of_bounds_or_drains_nobody)
{
    Cairn__ScaleRequest scale = CAIRN__SCALE_REQUEST__INIT;
    Cairn__DrainRequest drain = CAIRN__DRAIN_REQUEST__INIT;

    scale.job = (char *)"digits-1";
    check_verdict(client_request, CLIENT_REQUEST(scale, SCALE, &scale), "neither");
    scale.servers = WIRE_SHARDS_MAX + 1;
    check_verdict(client_request, CLIENT_REQUEST(scale, SCALE, &scale), "servers");
    scale.servers = WIRE_SHARDS_MAX;
    check_verdict(client_request, CLIENT_REQUEST(scale, SCALE, &scale), NULL);
    scale.workers = TREE_LEAVES_MAX + 1;
    check_verdict(client_request, CLIENT_REQUEST(scale, SCALE, &scale), "workers");
    scale.workers = 2;
    check_verdict(client_request, CLIENT_REQUEST(scale, SCALE, &scale), NULL);
    scale.job = (char *)"";
    check_verdict(client_request, CLIENT_REQUEST(scale, SCALE, &scale), "id");
    check_verdict(client_request, CLIENT_REQUEST(drain, DRAIN, &drain), "name");
    drain.node = (char *)"server-1";
    check_verdict(client_request, CLIENT_REQUEST(drain, DRAIN, &drain), NULL);
}
END_TEST

START_TEST(commits_are_of_possible_steps)
{
    Cairn__CommitRequest commit = CAIRN__COMMIT_REQUEST__INIT;

    commit.job = "mnist-1";
    commit.step = WIRE_STEP_MAX;
    check_verdict(client_request, CLIENT_REQUEST(commit, COMMIT, &commit), NULL);
    commit.step++;
    check_verdict(client_request, CLIENT_REQUEST(commit, COMMIT, &commit), "step");
}
END_TEST

START_TEST(submissions_have_text)
{
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;
    Cairn__SubmitRequest submit = CAIRN__SUBMIT_REQUEST__INIT;
    Cairn__JobsRequest jobs = CAIRN__JOBS_REQUEST__INIT;
    Cairn__NodesRequest nodes = CAIRN__NODES_REQUEST__INIT;
    Cairn__AddedTable added = CAIRN__ADDED_TABLE__INIT, *pointer = &added;

    check_verdict(client_request, CLIENT_REQUEST(submit, SUBMIT, &submit), "text");
    submit.text = &text;
    check_verdict(client_request, CLIENT_REQUEST(submit, SUBMIT, &submit), "text");
    text.text = (char *)"name: x\n";
    check_verdict(client_request, CLIENT_REQUEST(submit, SUBMIT, &submit), NULL);
    text.n_added = 1;
    text.added = &pointer;
    check_verdict(client_request, CLIENT_REQUEST(submit, SUBMIT, &submit), "no text");
    added.text = (char *)"dense: {name: x}\n";
    added.first_version = WIRE_STEP_MAX;
    check_verdict(client_request, CLIENT_REQUEST(submit, SUBMIT, &submit), NULL);
    added.first_version++;
    check_verdict(client_request, CLIENT_REQUEST(submit, SUBMIT, &submit), "out of bounds");
    added.text = (char *)"\x1b[31mred";
    added.first_version = 0;
    check_verdict(client_request, CLIENT_REQUEST(submit, SUBMIT, &submit), "control characters");
    check_verdict(client_request, CLIENT_REQUEST(jobs, JOBS, &jobs), NULL);
    check_verdict(client_request, CLIENT_REQUEST(nodes, NODES, &nodes), NULL);
}
END_TEST

START_TEST(deletions_name_their_job_and_servers)
{
    Cairn__DeletedReply deleted = CAIRN__DELETED_REPLY__INIT;
    char *names[] = {"one", ""};

    check_verdict(client_reply, CLIENT_REPLY(deleted, DELETED, &deleted), "id");
    deleted.job_id = "mnist-1";
    check_verdict(client_reply, CLIENT_REPLY(deleted, DELETED, &deleted), NULL);
    deleted.servers = deleted.absent = names;
    deleted.n_servers = deleted.n_absent = 1;
    check_verdict(client_reply, CLIENT_REPLY(deleted, DELETED, &deleted), NULL);
    deleted.n_servers = 2;
    check_verdict(client_reply, CLIENT_REPLY(deleted, DELETED, &deleted), "server");
    deleted.n_servers = 1;
    deleted.n_absent = 2;
    check_verdict(client_reply, CLIENT_REPLY(deleted, DELETED, &deleted), "server");
}
END_TEST

START_TEST(replies_have_ids_and_states)
{
    Cairn__Metric metric = CAIRN__METRIC__INIT;
    Cairn__Metric *metrics[] = {&metric};
    Cairn__JobStatus job = CAIRN__JOB_STATUS__INIT;
    Cairn__JobStatus *list[] = {&job};
    Cairn__JobsReply jobs = CAIRN__JOBS_REPLY__INIT;

    jobs.n_jobs = 1;
    jobs.jobs = list;
    job.id = (char *)"x-1";
    job.state = CAIRN__JOB_STATE__JOB_STATE_FAILED;
    check_verdict(client_reply, CLIENT_REPLY(job, JOB, &job), NULL);
    check_verdict(client_reply, CLIENT_REPLY(jobs, JOBS, &jobs), NULL);
    job.n_validation = 1;
    job.validation = metrics;
    check_verdict(client_reply, CLIENT_REPLY(jobs, JOBS, &jobs), "metric");
    metric.name = (char *)"loss";
    job.state = CAIRN__JOB_STATE__JOB_STATE_UNSPECIFIED;
    check_verdict(client_reply, CLIENT_REPLY(jobs, JOBS, &jobs), "enum");
    job.state = (Cairn__JobState)10;
    check_verdict(client_reply, CLIENT_REPLY(job, JOB, &job), "enum");
    job.state = CAIRN__JOB_STATE__JOB_STATE_PENDING;
    job.id = (char *)"";
    check_verdict(client_reply, CLIENT_REPLY(jobs, JOBS, &jobs), "id");
}
END_TEST

START_TEST(locations_fit_together)
{
    struct preparation it;
    Cairn__LocationReply body = CAIRN__LOCATION_REPLY__INIT;

    preparation_init(&it);
    body.job_id = (char *)"x-1";
    body.text = &it.text;
    body.n_shards = 2;
    body.shards = it.pointers;
    body.n_slot_shards = 4;
    body.slot_shards = it.slots;
    check_verdict(client_reply, CLIENT_REPLY(location, LOCATION, &body), NULL);
    it.slots[0] = 2;
    check_verdict(client_reply, CLIENT_REPLY(location, LOCATION, &body), "slot");
    it.slots[0] = 0;
    body.n_shards = 0;
    check_verdict(client_reply, CLIENT_REPLY(location, LOCATION, &body), "belong together");
    body.n_shards = 2;
    body.text = NULL;
    check_verdict(client_reply, CLIENT_REPLY(location, LOCATION, &body), "text");
}
END_TEST

START_TEST(other_replies)
{
    Cairn__NodeStatus node = CAIRN__NODE_STATUS__INIT;
    Cairn__NodeStatus *list[] = {&node};
    Cairn__NodesReply nodes = CAIRN__NODES_REPLY__INIT;
    Cairn__ErrorReply refused = CAIRN__ERROR_REPLY__INIT;
    Cairn__LogEntry entry = CAIRN__LOG_ENTRY__INIT;
    Cairn__LogEntry *entries[] = {&entry};
    Cairn__LogsReply logs = CAIRN__LOGS_REPLY__INIT;
    Cairn__TableReply table = CAIRN__TABLE_REPLY__INIT;

    refused.message = (char *)"no\nsuch job";
    check_verdict(client_reply, CLIENT_REPLY(error, ERROR, &refused), NULL);
    check_verdict(client_reply, CLIENT_REPLY(table, TABLE, &table), NULL);
    nodes.n_nodes = 1;
    nodes.nodes = list;
    node.name = (char *)"worker-1";
    node.kind = CAIRN__NODE_KIND__NODE_KIND_WORKER;
    check_verdict(client_reply, CLIENT_REPLY(nodes, NODES, &nodes), NULL);
    node.name = (char *)"";
    check_verdict(client_reply, CLIENT_REPLY(nodes, NODES, &nodes), "name");
    logs.n_entries = 1;
    logs.entries = entries;
    entry.text = (char *)"\x1b[31mred";
    check_verdict(client_reply, CLIENT_REPLY(logs, LOGS, &logs), NULL);
    entry.source = (char *)"\x1b[31mred";
    check_verdict(client_reply, CLIENT_REPLY(logs, LOGS, &logs), "control characters");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("wire_clients");
    TCase *clients = tcase_create("clients");

    tcase_add_loop_test(clients, requests_name_their_job, 0, 3);
    tcase_add_test(clients, submissions_have_text);
    tcase_add_test(clients, deletions_name_their_job_and_servers);
    tcase_add_test(clients, replies_have_ids_and_states);
    tcase_add_test(clients, nobody_scales_out_of_bounds_or_drains_nobody);
    tcase_add_test(clients, commits_are_of_possible_steps);
    tcase_add_test(clients, locations_fit_together);
    tcase_add_test(clients, other_replies);
    suite_add_tcase(suite, clients);
    return suite;
}

CHECK_MAIN(make_suite)
