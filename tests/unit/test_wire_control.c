/* Control messages of nodes: what is taken as it was sent, and each check that protobuf cannot make. */
#include "check_main.h"
#include "control_messages.h"

static enum status node_message(const unsigned char *bytes, size_t length, struct error *error)
{
    Cairn__NodeMessage *message = NULL;
    enum status status = wire_node_message_unpack(bytes, length, &message, error);

    cairn__node_message__free_unpacked(message, NULL);
    return status;
}

static enum status node_command(const unsigned char *bytes, size_t length, struct error *error)
{
    Cairn__NodeCommand *command = NULL;
    enum status status = wire_node_command_unpack(bytes, length, &command, error);

    cairn__node_command__free_unpacked(command, NULL);
    return status;
}

/* A message of a kind around a body. */
#define NODE_MESSAGE(member, case_name, body)                                                                \
    &(Cairn__NodeMessage)                                                                                    \
    {                                                                                                        \
        PROTOBUF_C_MESSAGE_INIT(&cairn__node_message__descriptor), PROTOCOL_VERSION,                         \
            CAIRN__NODE_MESSAGE__BODY_##case_name, .member = (body)                                          \
    }
#define NODE_COMMAND(member, case_name, body)                                                                \
    &(Cairn__NodeCommand)                                                                                    \
    {                                                                                                        \
        PROTOBUF_C_MESSAGE_INIT(&cairn__node_command__descriptor), PROTOCOL_VERSION,                         \
            CAIRN__NODE_COMMAND__BODY_##case_name, .member = (body)                                          \
    }

/* ---- all four */

START_TEST(noise_does_not_parse)
{
    static unpack_function *const functions[] = {node_message, node_command, client_request, client_reply};
    unsigned char *zeros = calloc(1, WIRE_CONTROL_MAX + 1);
    struct error error;

    ck_assert_ptr_nonnull(zeros);
    ck_assert_int_eq(functions[_i]((const unsigned char *)"\xff\xff", 2, &error), CAIRN_PROTOCOL);
    ck_assert(strstr(error.message, "does not parse"));
    ck_assert_int_eq(functions[_i](zeros, WIRE_CONTROL_MAX + 1, &error), CAIRN_PROTOCOL);
    ck_assert(strstr(error.message, "too many"));
    /* No bytes are a message with no protocol number. */
    ck_assert_int_eq(functions[_i]((const unsigned char *)"", 0, &error), CAIRN_PROTOCOL);
    ck_assert(strstr(error.message, "protocol 0"));
    free(zeros);
}
END_TEST

START_TEST(a_body_is_needed)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;

    message.protocol = command.protocol = request.protocol = reply.protocol = PROTOCOL_VERSION;
    check_verdict(node_message, &message, "no body");
    check_verdict(node_command, &command, "no body");
    check_verdict(client_request, &request, "no body");
    check_verdict(client_reply, &reply, "no body");
    message.protocol = command.protocol = request.protocol = reply.protocol = 9;
    check_verdict(node_message, &message, "protocol 9");
    check_verdict(node_command, &command, "protocol 9");
    check_verdict(client_request, &request, "protocol 9");
    check_verdict(client_reply, &reply, "protocol 9");
}
END_TEST

/* ---- node to coordinator */

START_TEST(registrations_of_servers)
{
    char *endpoints[] = {(char *)"tcp://a:1", (char *)""};
    Cairn__Registration body = CAIRN__REGISTRATION__INIT;
    char long_name[300];

    body.kind = CAIRN__NODE_KIND__NODE_KIND_SERVER;
    body.name = (char *)"server-1";
    body.n_endpoints = 1;
    body.endpoints = endpoints;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), NULL);
    body.n_endpoints = 2;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "endpoint");
    body.n_endpoints = 0;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "endpoints");
    body.n_endpoints = 1;
    body.lanes = 1;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "lanes");
    body.lanes = 0;
    body.name = (char *)"";
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "name");
    memset(long_name, 'x', sizeof(long_name));
    long_name[256] = '\0';
    body.name = long_name;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "name");
    body.name = (char *)"a\x1b[2Jb";
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "control characters");
    body.name = (char *)"server-1";
    body.kind = CAIRN__NODE_KIND__NODE_KIND_UNSPECIFIED;
    body.n_endpoints = 0;
    body.lanes = 1;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "enum");
    body.kind = (Cairn__NodeKind)3;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "enum");
}
END_TEST

START_TEST(a_server_has_bounded_endpoints)
{
    static char *endpoints[WIRE_SHARDS_MAX + 1];
    Cairn__Registration body = CAIRN__REGISTRATION__INIT;

    for (size_t i = 0; i <= WIRE_SHARDS_MAX; i++)
        endpoints[i] = (char *)"ipc://x";
    body.kind = CAIRN__NODE_KIND__NODE_KIND_SERVER;
    body.name = (char *)"server-1";
    body.endpoints = endpoints;
    body.n_endpoints = WIRE_SHARDS_MAX;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), NULL);
    body.n_endpoints = WIRE_SHARDS_MAX + 1;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "endpoints");
}
END_TEST

START_TEST(registrations_of_workers)
{
    char *endpoints[] = {(char *)"tcp://a:1"};
    Cairn__Registration body = CAIRN__REGISTRATION__INIT;

    body.kind = CAIRN__NODE_KIND__NODE_KIND_WORKER;
    body.name = (char *)"worker-1";
    body.lanes = TREE_LEAVES_MAX;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), NULL);
    body.lanes = TREE_LEAVES_MAX + 1;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "lanes");
    body.lanes = 0;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "lanes");
    body.lanes = 1;
    body.n_endpoints = 1;
    body.endpoints = endpoints;
    check_verdict(node_message, NODE_MESSAGE(registration, REGISTRATION, &body), "endpoints");
}
END_TEST

START_TEST(reports_have_named_metrics)
{
    Cairn__Metric loss = CAIRN__METRIC__INIT;
    Cairn__Metric *metrics[] = {&loss};
    Cairn__Progress progress = CAIRN__PROGRESS__INIT;
    Cairn__Validated validated = CAIRN__VALIDATED__INIT;

    loss.name = (char *)"loss";
    progress.n_metrics = validated.n_metrics = 1;
    progress.metrics = validated.metrics = metrics;
    check_verdict(node_message, NODE_MESSAGE(progress, PROGRESS, &progress), NULL);
    check_verdict(node_message, NODE_MESSAGE(validated, VALIDATED, &validated), NULL);
    loss.name = (char *)"";
    check_verdict(node_message, NODE_MESSAGE(progress, PROGRESS, &progress), "metric");
    check_verdict(node_message, NODE_MESSAGE(validated, VALIDATED, &validated), "metric");
    loss.name = (char *)"lo\rss";
    check_verdict(node_message, NODE_MESSAGE(progress, PROGRESS, &progress), "control characters");
}
END_TEST

START_TEST(plain_reports_pass)
{
    Cairn__Heartbeat heartbeat = CAIRN__HEARTBEAT__INIT;
    Cairn__Leave goodbye = CAIRN__LEAVE__INIT;
    Cairn__Prepared prepared = CAIRN__PREPARED__INIT;
    Cairn__Committed committed = CAIRN__COMMITTED__INIT;
    Cairn__CommitRefused refused = CAIRN__COMMIT_REFUSED__INIT;
    Cairn__Reached reached = CAIRN__REACHED__INIT;
    Cairn__Held held = CAIRN__HELD__INIT;
    Cairn__Extended extended = CAIRN__EXTENDED__INIT;
    Cairn__PassedOver passed = CAIRN__PASSED_OVER__INIT;

    held.step = WIRE_STEP_MAX;
    check_verdict(node_message, NODE_MESSAGE(held, HELD, &held), NULL);
    held.step++;
    check_verdict(node_message, NODE_MESSAGE(held, HELD, &held), "step");
    passed.after = WIRE_STEP_MAX - 1;
    passed.step = WIRE_STEP_MAX;
    check_verdict(node_message, NODE_MESSAGE(passed_over, PASSED_OVER, &passed), NULL);
    passed.step++;
    check_verdict(node_message, NODE_MESSAGE(passed_over, PASSED_OVER, &passed), "passed over");
    passed.step = passed.after;
    check_verdict(node_message, NODE_MESSAGE(passed_over, PASSED_OVER, &passed), "passed over");
    check_verdict(node_message, NODE_MESSAGE(extended, EXTENDED, &extended), NULL);
    check_verdict(node_message, NODE_MESSAGE(heartbeat, HEARTBEAT, &heartbeat), NULL);
    check_verdict(node_message, NODE_MESSAGE(leave, LEAVE, &goodbye), NULL);
    check_verdict(node_message, NODE_MESSAGE(prepared, PREPARED, &prepared), NULL);
    check_verdict(node_message, NODE_MESSAGE(committed, COMMITTED, &committed), NULL);
    check_verdict(node_message, NODE_MESSAGE(commit_refused, COMMIT_REFUSED, &refused), NULL);
    check_verdict(node_message, NODE_MESSAGE(reached, REACHED, &reached), NULL);
    reached.model_hash = (char *)"\x7f";
    check_verdict(node_message, NODE_MESSAGE(reached, REACHED, &reached), "control characters");
}
END_TEST

START_TEST(lines_for_people_are_cleaned)
{
    Cairn__Failed failed = CAIRN__FAILED__INIT;
    Cairn__NodeMessage *sent, *message;
    unsigned char bytes[256];
    size_t length;

    failed.message = (char *)"two\nlines\x1b";
    sent = NODE_MESSAGE(failed, FAILED, &failed);
    length = cairn__node_message__pack(sent, bytes);
    ck_assert_int_eq(wire_node_message_unpack(bytes, length, &message, NULL), CAIRN_OK);
    ck_assert_int_eq(message->body_case, CAIRN__NODE_MESSAGE__BODY_FAILED);
    ck_assert_str_eq(message->failed->message, "two lines ");
    cairn__node_message__free_unpacked(message, NULL);
}
END_TEST

/* ---- coordinator to node */

START_TEST(what_a_worker_found_is_bounded)
{
    Cairn__NotFinite not_finite = CAIRN__NOT_FINITE__INIT;
    Cairn__Divergence divergence = CAIRN__DIVERGENCE__INIT;
    Cairn__Drain drain = CAIRN__DRAIN__INIT;
    char name[300];

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    check_verdict(node_message, NODE_MESSAGE(drain, DRAIN, &drain), NULL);
    check_verdict(node_message, NODE_MESSAGE(not_finite, NOT_FINITE, &not_finite), NULL);
    not_finite.layer = name;
    check_verdict(node_message, NODE_MESSAGE(not_finite, NOT_FINITE, &not_finite), "name");
    check_verdict(node_message, NODE_MESSAGE(divergence, DIVERGENCE, &divergence), "node");
    divergence.node_end = TREE_LEAVES_MAX;
    check_verdict(node_message, NODE_MESSAGE(divergence, DIVERGENCE, &divergence), NULL);
    divergence.node_end = TREE_LEAVES_MAX + 1;
    check_verdict(node_message, NODE_MESSAGE(divergence, DIVERGENCE, &divergence), "node");
}
END_TEST

START_TEST(removals_are_of_jobs)
{
    Cairn__RemoveCommand remove = CAIRN__REMOVE_COMMAND__INIT;
    Cairn__Removed removed = CAIRN__REMOVED__INIT;
    uint64_t jobs[] = {1, UINT64_MAX};

    check_verdict(node_command, NODE_COMMAND(remove, REMOVE, &remove), "jobs");
    remove.jobs = jobs;
    remove.n_jobs = 2;
    check_verdict(node_command, NODE_COMMAND(remove, REMOVE, &remove), NULL);
    check_verdict(node_message, NODE_MESSAGE(removed, REMOVED, &removed), NULL);
}
END_TEST

START_TEST(welcomes_leave_time_for_heartbeats)
{
    Cairn__Welcome body = CAIRN__WELCOME__INIT;

    check_verdict(node_command, NODE_COMMAND(welcome, WELCOME, &body), "heartbeats");
    body.heartbeat_ms = 1000;
    body.lease_ms = 1000;
    check_verdict(node_command, NODE_COMMAND(welcome, WELCOME, &body), "heartbeats");
    body.lease_ms = 1001;
    check_verdict(node_command, NODE_COMMAND(welcome, WELCOME, &body), NULL);
}
END_TEST

static void check_preparation(struct preparation *preparation, const char *what)
{
    check_verdict(node_command, NODE_COMMAND(prepare, PREPARE, &preparation->body), what);
    preparation_init(preparation);
}

START_TEST(preparations_fit_together)
{
    struct preparation it;

    preparation_init(&it);
    check_preparation(&it, NULL);
    it.body.job_id = (char *)"";
    check_preparation(&it, "id");
    it.body.text = NULL;
    check_preparation(&it, "text");
    it.text.text = (char *)"";
    check_preparation(&it, "text");
    it.text.text = (char *)"bell \x07";
    check_preparation(&it, "control characters");
    it.text.file_name = (char *)"two\nlines";
    check_preparation(&it, "control characters");
    it.text.workers_min = 3;
    it.text.workers_max = 2;
    check_preparation(&it, "least");
    it.text.workers_min = 3;
    check_preparation(&it, NULL);
    it.text.servers = WIRE_SHARDS_MAX + 1;
    check_preparation(&it, "node counts");
    it.body.n_shards = 0;
    check_preparation(&it, "no shards");
    it.body.n_slot_shards = 0;
    check_preparation(&it, "belong together");
    it.slots[3] = 2;
    check_preparation(&it, "slot");
    it.shards[1].endpoint = (char *)"";
    check_preparation(&it, "endpoint");
    it.shards[1].server = (char *)"";
    check_preparation(&it, "server");
    it.shards[1].index = WIRE_SHARDS_MAX;
    check_preparation(&it, "index");
    it.shards[1].endpoint = (char *)"tcp://\n";
    check_preparation(&it, "control characters");
}
END_TEST

/* A map of two slots with chains of two places over two shards. */
struct mapping {
    struct preparation shards;
    Cairn__MapCommand body;
    Cairn__SlotCopy copies[2];
    Cairn__SlotCopy *pointers[WIRE_COPIES_MAX + 1];
};

static void mapping_init(struct mapping *mapping)
{
    static const uint32_t slots[4] = {0, 1, 1, UINT32_MAX};

    preparation_init(&mapping->shards);
    cairn__map_command__init(&mapping->body);
    memcpy(mapping->shards.slots, slots, sizeof(slots));
    mapping->body.number = 1;
    mapping->body.n_shards = 2;
    mapping->body.shards = mapping->shards.pointers;
    mapping->body.replicas = 2;
    mapping->body.n_slot_shards = 4;
    mapping->body.slot_shards = mapping->shards.slots;
    mapping->body.copies = mapping->pointers;
    for (uint32_t i = 0; i < WIRE_COPIES_MAX + 1; i++) {
        cairn__slot_copy__init(&mapping->copies[i % 2]);
        mapping->pointers[i] = &mapping->copies[i % 2];
    }
    mapping->copies[0].slot = 1;
    mapping->body.n_copies = 1;
}

static void check_mapping(struct mapping *mapping, const char *what)
{
    check_verdict(node_command, NODE_COMMAND(map, MAP, &mapping->body), what);
    mapping_init(mapping);
}

START_TEST(maps_fit_together)
{
    struct mapping it;

    mapping_init(&it);
    check_mapping(&it, NULL);
    it.body.number = 0;
    check_mapping(&it, "number");
    it.body.n_shards = 0;
    check_mapping(&it, "no shards");
    it.body.replicas = 0;
    check_mapping(&it, "places");
    it.body.replicas = 3;
    check_mapping(&it, "places");
    it.body.replicas = WIRE_REPLICAS_MAX + 1;
    check_mapping(&it, "places");
    it.shards.slots[1] = 2;
    check_mapping(&it, "does not exist");
    it.shards.slots[1] = 0;
    check_mapping(&it, "twice");
    it.shards.slots[2] = UINT32_MAX;
    check_mapping(&it, "no shard");
    it.copies[0].slot = 2;
    check_mapping(&it, "does not exist");
    it.copies[0].shard = 2;
    check_mapping(&it, "does not exist");
    it.copies[0].slot = 0;
    check_mapping(&it, "that has it");
    it.body.n_copies = 2;
    it.copies[1].slot = 1;
    check_mapping(&it, "copied twice");
    it.body.n_copies = WIRE_COPIES_MAX + 1;
    check_mapping(&it, "at once");
    it.body.replicas = 1;
    it.shards.slots[3] = 0;
    it.body.n_copies = 0;
    check_mapping(&it, NULL);
}
END_TEST

START_TEST(preparations_have_chains)
{
    struct preparation it;

    preparation_init(&it);
    it.body.replicas = 2;
    check_preparation(&it, NULL);
    it.body.replicas = 2;
    it.slots[1] = UINT32_MAX;
    check_preparation(&it, NULL);
    it.slots[1] = UINT32_MAX;
    check_preparation(&it, "no shard");
    it.body.replicas = 3;
    check_preparation(&it, "places");
}
END_TEST

START_TEST(copies_are_bounded)
{
    Cairn__Copied body = CAIRN__COPIED__INIT;
    Cairn__Mapped mapped = CAIRN__MAPPED__INIT;

    check_verdict(node_message, NODE_MESSAGE(mapped, MAPPED, &mapped), NULL);
    check_verdict(node_message, NODE_MESSAGE(copied, COPIED, &body), NULL);
    body.shard = WIRE_SHARDS_MAX;
    check_verdict(node_message, NODE_MESSAGE(copied, COPIED, &body), "out of bounds");
    body.shard = 0;
    body.step = WIRE_STEP_MAX + 1;
    check_verdict(node_message, NODE_MESSAGE(copied, COPIED, &body), "out of bounds");
}
END_TEST

START_TEST(epochs_fit_together)
{
    char *workers[] = {(char *)"worker-1", (char *)"worker-2"};
    Cairn__Span first = CAIRN__SPAN__INIT, second = CAIRN__SPAN__INIT;
    Cairn__Span *spans[] = {&first, &second};
    uint64_t numbers[] = {1, 2}, steps[] = {0, 11};
    Cairn__EpochCommand body = CAIRN__EPOCH_COMMAND__INIT;

    first.end = second.begin = 4;
    second.end = TREE_LEAVES_MAX;
    body.n_workers = body.n_spans = body.n_worker_numbers = 2;
    body.workers = workers;
    body.spans = spans;
    body.worker_numbers = numbers;
    body.final_step = 10;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), NULL);
    body.n_spans = 1;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "spans");
    body.n_spans = 2;
    body.n_worker_numbers = 1;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "numbers");
    body.n_workers = body.n_spans = body.n_worker_numbers = 0; /* a pause */
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), NULL);
    body.n_workers = body.n_spans = body.n_worker_numbers = 2;
    numbers[1] = 0;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "number");
    numbers[1] = 7;
    body.first_step = 11;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "steps");
    body.final_step = WIRE_STEP_MAX + 1;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "steps");
    body.final_step = 11;
    second.end = TREE_LEAVES_MAX + 1;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "span");
    second.end = 3;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "span");
    second.end = 4;
    body.worker_steps = steps;
    body.n_worker_steps = 1;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "first steps");
    body.n_worker_steps = 2;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), NULL);
    steps[1] = 12;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "first step");
    steps[1] = 3;
    workers[1] = (char *)"";
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "name");
}
END_TEST

START_TEST(epochs_tell_where_everything_is)
{
    struct preparation it;
    Cairn__EpochCommand body = CAIRN__EPOCH_COMMAND__INIT;

    preparation_init(&it);
    body.n_shards = 2;
    body.shards = it.pointers;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "belong together");
    body.n_slot_shards = 4;
    body.slot_shards = it.slots;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), NULL);
    it.slots[2] = 2;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "does not exist");
    it.slots[2] = UINT32_MAX;
    check_verdict(node_command, NODE_COMMAND(epoch, EPOCH, &body), "no shard");
}
END_TEST

START_TEST(plain_commands_pass)
{
    Cairn__Refusal refusal = CAIRN__REFUSAL__INIT;
    Cairn__CommitCommand commit = CAIRN__COMMIT_COMMAND__INIT;
    Cairn__CommittedCommand committed = CAIRN__COMMITTED_COMMAND__INIT;
    Cairn__StopCommand stop = CAIRN__STOP_COMMAND__INIT;
    Cairn__ReleaseCommand release = CAIRN__RELEASE_COMMAND__INIT;
    Cairn__HoldCommand hold = CAIRN__HOLD_COMMAND__INIT;
    Cairn__ExtendCommand extend = CAIRN__EXTEND_COMMAND__INIT;
    Cairn__PrepareCommand prepare = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__GoOnCommand go_on = CAIRN__GO_ON_COMMAND__INIT;
    Cairn__RegisterCommand again = CAIRN__REGISTER_COMMAND__INIT;
    Cairn__DismissCommand dismiss = CAIRN__DISMISS_COMMAND__INIT;
    Cairn__AbandonCommand abandon = CAIRN__ABANDON_COMMAND__INIT;

    check_verdict(node_command, NODE_COMMAND(hold, HOLD, &hold), NULL);
    check_verdict(node_command, NODE_COMMAND(extend, EXTEND, &extend), "no tables");
    extend.prepare = &prepare; /* is checked as one */
    check_verdict(node_command, NODE_COMMAND(extend, EXTEND, &extend), "id");
    check_verdict(node_command, NODE_COMMAND(go_on, GO_ON, &go_on), NULL);
    check_verdict(node_command, NODE_COMMAND(refusal, REFUSAL, &refusal), NULL);
    check_verdict(node_command, NODE_COMMAND(commit, COMMIT, &commit), NULL);
    check_verdict(node_command, NODE_COMMAND(committed, COMMITTED, &committed), NULL);
    check_verdict(node_command, NODE_COMMAND(stop, STOP, &stop), NULL);
    check_verdict(node_command, NODE_COMMAND(release, RELEASE, &release), NULL);
    check_verdict(node_command, NODE_COMMAND(register_again, REGISTER_AGAIN, &again), NULL);
    check_verdict(node_command, NODE_COMMAND(dismiss, DISMISS, &dismiss), NULL);
    check_verdict(node_command, NODE_COMMAND(abandon, ABANDON, &abandon), NULL);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("wire_control");
    TCase *nodes = tcase_create("nodes");

    tcase_add_loop_test(nodes, noise_does_not_parse, 0, 4);
    tcase_add_test(nodes, a_body_is_needed);
    tcase_add_test(nodes, registrations_of_servers);
    tcase_add_test(nodes, a_server_has_bounded_endpoints);
    tcase_add_test(nodes, registrations_of_workers);
    tcase_add_test(nodes, reports_have_named_metrics);
    tcase_add_test(nodes, plain_reports_pass);
    tcase_add_test(nodes, lines_for_people_are_cleaned);
    tcase_add_test(nodes, what_a_worker_found_is_bounded);
    tcase_add_test(nodes, removals_are_of_jobs);
    tcase_add_test(nodes, welcomes_leave_time_for_heartbeats);
    tcase_add_test(nodes, preparations_fit_together);
    tcase_add_test(nodes, preparations_have_chains);
    tcase_add_test(nodes, maps_fit_together);
    tcase_add_test(nodes, copies_are_bounded);
    tcase_add_test(nodes, epochs_fit_together);
    tcase_add_test(nodes, epochs_tell_where_everything_is);
    tcase_add_test(nodes, plain_commands_pass);
    suite_add_tcase(suite, nodes);
    return suite;
}

CHECK_MAIN(make_suite)
