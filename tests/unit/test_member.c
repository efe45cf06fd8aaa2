/* Members against a coordinator that the test plays. Waits are for conditions; leases are short. */
#include "check_main.h"
#include "played_coordinator.h"

#include "base/log.h"
#include "cluster/member.h"
#include "net/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define LEASE_MS     200 /* where silence is the subject */
#define HEARTBEAT_MS 50
/* Where a heartbeat's silence is: a busy machine may let a thread wait for two of the others. */
#define SLOW_HEARTBEAT_MS 500

struct rig {
    void *context;
    struct played played;
    char endpoint[ENDPOINT_BYTES];
    Cairn__Registration registration;
    struct member *member;
    uint32_t lease_ms; /* of welcomes: long, lest a busy machine be taken for silence */
    uint32_t heartbeat_ms;
    unsigned welcomes; /* to registrations */
};

static void rig_open(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    log_init(LOG_LEVEL_ERROR, "test");
    rig->lease_ms = 2 * PATIENCE_MS;
    rig->heartbeat_ms = HEARTBEAT_MS;
    rig->context = zmq_ctx_new();
    played_init(&rig->played, bound_socket(rig->context, ZMQ_ROUTER, rig->endpoint));
    cairn__registration__init(&rig->registration);
    rig->registration.kind = CAIRN__NODE_KIND__NODE_KIND_WORKER;
    rig->registration.name = (char *)"worker-1";
    rig->registration.lanes = 2;
}

static void rig_join(struct rig *rig)
{
    struct error error = {.message = ""};

    ck_assert_msg(member_new(rig->context, rig->endpoint, &rig->registration, &rig->member, &error) ==
                      CAIRN_OK,
                  "%s", error.message);
}

static void rig_close(struct rig *rig)
{
    member_free(rig->member, NULL);
    played_fini(&rig->played);
    zmq_ctx_term(rig->context);
}

/* Lets the member do what is due, once it is due or there is input at either side. */
static enum status turn(struct rig *rig, Cairn__NodeCommand **command, struct error *error)
{
    zmq_pollitem_t items[] = {{member_socket(rig->member), 0, ZMQ_POLLIN, 0},
                              {member_link(rig->member), 0, ZMQ_POLLIN, 0},
                              {rig->played.router, 0, ZMQ_POLLIN, 0}};
    int64_t wait_ms = member_deadline_ms(rig->member) - clock_ms();

    enum status status;

    zmq_poll(items, 3, wait_ms > 0 ? wait_ms : 0);
    status = member_receive(rig->member, command, error);
    rig->welcomes += member_take_welcome(rig->member);
    return status;
}

/* The same while the coordinator is not there, or has nothing to read. */
static enum status turn_alone(struct rig *rig, Cairn__NodeCommand **command)
{
    zmq_pollitem_t items[] = {{member_socket(rig->member), 0, ZMQ_POLLIN, 0},
                              {member_link(rig->member), 0, ZMQ_POLLIN, 0}};
    int64_t wait_ms = member_deadline_ms(rig->member) - clock_ms();
    enum status status;

    zmq_poll(items, 2, wait_ms < 0 ? 0 : wait_ms < PATIENCE_MS ? wait_ms : PATIENCE_MS);
    status = member_receive(rig->member, command, NULL);
    rig->welcomes += member_take_welcome(rig->member);
    return status;
}

/* A coordinator that was closed a moment ago may still have its port. */
static void bind_again(struct rig *rig)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;

    while (zmq_bind(rig->played.router, rig->endpoint) != 0) {
        ck_assert_int_eq(zmq_errno(), EADDRINUSE);
        ck_assert_int_lt(clock_ms(), deadline_ms);
    }
}

/* Lets the member run until the coordinator has a message; it is then in rig->played. */
static Cairn__NodeMessage__BodyCase next_message(struct rig *rig)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    Cairn__NodeCommand *command;
    struct error error = {.message = ""};

    played_forget(&rig->played);
    while (frames_receive(rig->played.router, &rig->played.in, NULL) == CAIRN_AGAIN) {
        ck_assert_msg(clock_ms() < deadline_ms, "the coordinator heard nothing");
        ck_assert_int_eq(turn(rig, &command, &error), CAIRN_AGAIN);
    }
    played_unpack(&rig->played);
    return rig->played.message->body_case;
}

static void send_welcome(struct rig *rig)
{
    played_welcome(&rig->played, rig->lease_ms, rig->heartbeat_ms);
}

static void send_stop(struct rig *rig, uint64_t job)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__StopCommand body = CAIRN__STOP_COMMAND__INIT;

    body.job = job;
    command.body_case = CAIRN__NODE_COMMAND__BODY_STOP;
    command.stop = &body;
    played_say(&rig->played, &command);
}

/* Waits until the member hands a command over. */
static Cairn__NodeCommand *next_command(struct rig *rig)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    Cairn__NodeCommand *command = NULL;
    enum status status = CAIRN_AGAIN;

    while (status == CAIRN_AGAIN) {
        ck_assert_msg(clock_ms() < deadline_ms, "no command came");
        status = turn(rig, &command, NULL);
    }
    ck_assert_int_eq(status, CAIRN_OK);
    return command;
}

static void register_and_welcome(struct rig *rig)
{
    ck_assert_int_eq(next_message(rig), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    send_welcome(rig);
}

/* Welcomes the member until it is content: a slow machine may have let it register more than once. */
static void welcome_until_it_beats(struct rig *rig)
{
    do
        send_welcome(rig);
    while (next_message(rig) == CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    ck_assert_int_eq(rig->played.message->body_case, CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
}

/* Lets the member run until it hears the coordinator, or does not. */
static void await_hearing(struct rig *rig, bool hears)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    Cairn__NodeCommand *command;

    while (member_hears(rig->member) != hears) {
        ck_assert_int_lt(clock_ms(), deadline_ms);
        ck_assert_int_eq(turn_alone(rig, &command), CAIRN_AGAIN);
    }
}

START_TEST(a_member_registers_and_sends_heartbeats)
{
    struct rig rig;
    int64_t welcomed_ms;

    rig_open(&rig);
    rig_join(&rig);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    ck_assert_str_eq(rig.played.message->registration->name, "worker-1");
    ck_assert_uint_eq(rig.played.message->registration->lanes, 2);
    welcomed_ms = clock_ms();
    send_welcome(&rig);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
        send_welcome(&rig);
    }
    ck_assert_int_ge(clock_ms() - welcomed_ms, 2 * HEARTBEAT_MS);
    rig_close(&rig);
}
END_TEST

/* The coordinator answers heartbeats only: a member that reports all the time must still ask. */
START_TEST(reports_are_no_heartbeats)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Prepared body = CAIRN__PREPARED__INIT;
    struct rig rig;
    int64_t begin_ms = clock_ms();

    rig_open(&rig);
    rig_join(&rig);
    register_and_welcome(&rig);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
    body.job = 5;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_PREPARED;
    message.prepared = &body;
    do {
        ck_assert_msg(clock_ms() < begin_ms + PATIENCE_MS, "no heartbeat came among the reports");
        ck_assert_int_eq(member_send(rig.member, &message, NULL), CAIRN_OK);
        ck_assert_int_le(member_deadline_ms(rig.member), clock_ms() + HEARTBEAT_MS);
    } while (next_message(&rig) == CAIRN__NODE_MESSAGE__BODY_PREPARED);
    ck_assert_int_eq(rig.played.message->body_case, CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
    rig_close(&rig);
}
END_TEST

/* Whether the coordinator's last message came by the connection of *first. */
static bool is_same_connection(struct rig *rig, struct frames *first)
{
    return frames_length(first, 0) == frames_length(&rig->played.in, 0) &&
           memcmp(frames_data(first, 0), frames_data(&rig->played.in, 0), frames_length(first, 0)) == 0;
}

static void remember_connection(struct rig *rig, struct frames *first)
{
    frames_init(first);
    ck_assert_int_eq(
        frames_append_copy(first, frames_data(&rig->played.in, 0), frames_length(&rig->played.in, 0)),
        CAIRN_OK);
}

START_TEST(silence_for_a_lease_brings_a_registration)
{
    struct rig rig;
    struct frames first;
    int64_t welcomed_ms;

    rig_open(&rig);
    rig_join(&rig);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    remember_connection(&rig, &first);
    welcomed_ms = clock_ms();
    rig.lease_ms = LEASE_MS;
    send_welcome(&rig);
    while (next_message(&rig) == CAIRN__NODE_MESSAGE__BODY_HEARTBEAT)
        ck_assert_int_lt(clock_ms() - welcomed_ms, PATIENCE_MS);
    ck_assert_int_eq(rig.played.message->body_case, CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    ck_assert_int_ge(clock_ms() - welcomed_ms, LEASE_MS);
    ck_assert(is_same_connection(&rig, &first));
    rig.lease_ms = 2 * PATIENCE_MS;
    welcome_until_it_beats(&rig);
    frames_clear(&first);
    rig_close(&rig);
}
END_TEST

START_TEST(long_silence_brings_a_new_connection)
{
    struct rig rig;
    struct frames first;
    int64_t begin_ms = clock_ms();
    int registrations = 0;

    rig_open(&rig);
    rig_join(&rig);
    rig.lease_ms = LEASE_MS;
    register_and_welcome(&rig);
    remember_connection(&rig, &first);
    while (is_same_connection(&rig, &first)) {
        ck_assert_int_lt(clock_ms() - begin_ms, PATIENCE_MS);
        if (next_message(&rig) == CAIRN__NODE_MESSAGE__BODY_REGISTRATION)
            registrations++;
    }
    ck_assert_int_eq(rig.played.message->body_case, CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    ck_assert_int_ge(registrations, 3); /* the last by the new connection */
    rig.lease_ms = 2 * PATIENCE_MS;
    welcome_until_it_beats(&rig);
    frames_clear(&first);
    rig_close(&rig);
}
END_TEST

START_TEST(commands_reach_the_owner_in_order)
{
    struct rig rig;

    rig_open(&rig);
    rig_join(&rig);
    register_and_welcome(&rig);
    for (uint64_t job = 1; job <= 3; job++) {
        send_welcome(&rig);
        send_stop(&rig, job);
    }
    for (uint64_t job = 1; job <= 3; job++) {
        Cairn__NodeCommand *command = next_command(&rig);

        ck_assert_int_eq(command->body_case, CAIRN__NODE_COMMAND__BODY_STOP);
        ck_assert_uint_eq(command->stop->job, job);
        cairn__node_command__free_unpacked(command, NULL);
    }
    rig_close(&rig);
}
END_TEST

static void send_register_again(struct rig *rig)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__RegisterCommand body = CAIRN__REGISTER_COMMAND__INIT;

    command.body_case = CAIRN__NODE_COMMAND__BODY_REGISTER_AGAIN;
    command.register_again = &body;
    played_say(&rig->played, &command);
}

/* Hears the registration that this brings; heartbeats may be on their way. */
static void ask_to_register(struct rig *rig)
{
    send_register_again(rig);
    while (next_message(rig) == CAIRN__NODE_MESSAGE__BODY_HEARTBEAT)
        ;
    ck_assert_int_eq(rig->played.message->body_case, CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
}

/* A coordinator that has begun anew: what it hears of before the registration it does not know. */
START_TEST(a_member_that_is_not_known_registers_at_once)
{
    struct rig rig;

    rig_open(&rig);
    rig.heartbeat_ms = PATIENCE_MS; /* within which the three count as one */
    rig_join(&rig);
    register_and_welcome(&rig);
    await_hearing(&rig, true);
    send_register_again(&rig);
    send_register_again(&rig);
    ask_to_register(&rig);
    rig.heartbeat_ms = HEARTBEAT_MS;
    send_welcome(&rig);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_HEARTBEAT); /* and but once */
    ck_assert_uint_eq(rig.welcomes, 2);
    rig_close(&rig);
}
END_TEST

/* A registration may be lost: who is still not known later tries again. */
START_TEST(a_registration_that_was_lost_is_made_again)
{
    struct rig rig;
    int64_t begin_ms;

    rig_open(&rig);
    rig_join(&rig);
    register_and_welcome(&rig);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
    ask_to_register(&rig);
    begin_ms = clock_ms();
    while (clock_ms() < begin_ms + HEARTBEAT_MS)
        has_input(rig.played.router, HEARTBEAT_MS);
    ask_to_register(&rig);
    rig_close(&rig);
}
END_TEST

/* The owner repeats its reports whenever it was welcomed, and not with each answer to a heartbeat. */
START_TEST(a_welcome_to_a_registration_is_the_owners_to_know)
{
    struct rig rig;

    rig_open(&rig);
    rig_join(&rig);
    register_and_welcome(&rig);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
        ck_assert_uint_eq(rig.welcomes, 1);
        send_welcome(&rig);
    }
    rig_close(&rig);
}
END_TEST

/* What the next registration tells, in any order. */
static void expect_engagements(struct rig *rig, size_t count, const uint64_t (*engagements)[2])
{
    const Cairn__Registration *registration;

    ask_to_register(rig);
    registration = rig->played.message->registration;
    ck_assert_str_eq(registration->name, "worker-1");
    ck_assert_uint_eq(registration->n_engagements, count);
    for (size_t i = 0; i < count; i++) {
        size_t found = 0;

        for (size_t j = 0; j < count; j++)
            found += registration->engagements[j]->job == engagements[i][0] &&
                     registration->engagements[j]->incarnation == engagements[i][1];
        ck_assert_uint_eq(found, 1);
    }
    send_welcome(rig);
    ck_assert_int_eq(next_message(rig), CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
}

START_TEST(registrations_tell_what_the_node_is_at_work_on)
{
    static const uint64_t first[][2] = {{7, 1}}, newer[][2] = {{7, 2}, {9, 1}, {11, 4}},
                          later[][2] = {{7, 2}, {11, 4}};
    struct rig rig;
    uint64_t many[20][2];

    rig_open(&rig);
    rig_join(&rig);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    ck_assert_uint_eq(rig.played.message->registration->n_engagements, 0);
    send_welcome(&rig);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
    ck_assert_int_eq(member_engage(rig.member, 7, 1, NULL), CAIRN_OK);
    expect_engagements(&rig, 1, first);
    ck_assert_int_eq(member_engage(rig.member, 9, 1, NULL), CAIRN_OK);
    ck_assert_int_eq(member_engage(rig.member, 7, 2, NULL), CAIRN_OK);
    ck_assert_int_eq(member_engage(rig.member, 11, 4, NULL), CAIRN_OK);
    member_disengage(rig.member, 7, 1); /* the older one, which was replaced */
    member_disengage(rig.member, 8, 1);
    expect_engagements(&rig, 3, newer);
    member_disengage(rig.member, 9, 1);
    expect_engagements(&rig, 2, later);
    member_disengage(rig.member, 7, 2);
    member_disengage(rig.member, 11, 4);
    for (uint64_t i = 0; i < 20; i++) {
        many[i][0] = i + 1;
        many[i][1] = i;
        ck_assert_int_eq(member_engage(rig.member, i + 1, i, NULL), CAIRN_OK);
    }
    expect_engagements(&rig, 20, many);
    rig_close(&rig);
}
END_TEST

/* A member hears the coordinator until two heartbeats have brought nothing, and says when that is. */
START_TEST(silence_of_two_heartbeats_is_noticed)
{
    struct rig rig;
    int64_t heard_ms;

    rig_open(&rig);
    rig.heartbeat_ms = SLOW_HEARTBEAT_MS;
    rig_join(&rig);
    ck_assert(!member_hears(rig.member));
    register_and_welcome(&rig);
    heard_ms = clock_ms();
    await_hearing(&rig, true);
    while (member_hears(rig.member)) {
        Cairn__NodeCommand *command;

        ck_assert_int_lt(clock_ms() - heard_ms, PATIENCE_MS);
        ck_assert_int_le(member_deadline_ms(rig.member), clock_ms() + SLOW_HEARTBEAT_MS);
        ck_assert_int_eq(turn_alone(&rig, &command), CAIRN_AGAIN);
    }
    ck_assert_int_ge(clock_ms() - heard_ms, 2 * SLOW_HEARTBEAT_MS);
    send_welcome(&rig);
    await_hearing(&rig, true);
    ask_to_register(&rig); /* who does not know us is no coordinator of ours yet */
    ck_assert(!member_hears(rig.member));
    rig_close(&rig);
}
END_TEST

/* A coordinator that is killed is missed at once, and the next one is told at once who is there: nothing of
 * this waits for a heartbeat or a lease. */
START_TEST(a_connection_that_ends_is_noticed_at_once)
{
    struct rig rig;
    void *context = zmq_ctx_new();

    rig_open(&rig);
    rig.heartbeat_ms = 10 * PATIENCE_MS;
    rig.lease_ms = 2 * rig.heartbeat_ms;
    rig_join(&rig);
    register_and_welcome(&rig);
    await_hearing(&rig, true);
    for (int i = 0; i < 3; i++) {
        played_fini(&rig.played);
        await_hearing(&rig, false);
        played_init(&rig.played, zmq_socket(context, ZMQ_ROUTER));
        bind_again(&rig);
        register_and_welcome(&rig);
        await_hearing(&rig, true);
    }
    ck_assert_uint_eq(rig.welcomes, 4);
    rig_close(&rig);
    zmq_ctx_term(context);
}
END_TEST

START_TEST(malformed_commands_are_skipped)
{
    Cairn__NodeCommand bodiless = CAIRN__NODE_COMMAND__INIT, *command;
    struct frames out;
    struct rig rig;

    rig_open(&rig);
    rig_join(&rig);
    register_and_welcome(&rig);
    played_say_bytes(&rig.played, "\xff\xff\xff", 3);
    played_say(&rig.played, &bodiless);
    frames_init(&out);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(
            frames_append_copy(&out, frames_data(&rig.played.in, 0), frames_length(&rig.played.in, 0)),
            CAIRN_OK);
    ck_assert_int_eq(frames_send(rig.played.router, &out, NULL), CAIRN_OK);
    send_stop(&rig, 9);
    command = next_command(&rig);
    ck_assert_uint_eq(command->stop->job, 9);
    cairn__node_command__free_unpacked(command, NULL);
    rig_close(&rig);
}
END_TEST

START_TEST(a_refusal_ends_it)
{
    Cairn__NodeCommand *taken;
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    enum status status = CAIRN_AGAIN;
    struct error error = {.message = ""};
    struct rig rig;

    rig_open(&rig);
    rig_join(&rig);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    played_refuse(&rig.played, "the name is in use");
    while (status == CAIRN_AGAIN && clock_ms() < deadline_ms)
        status = turn(&rig, &taken, &error);
    ck_assert_int_eq(status, CAIRN_CLOSED);
    ck_assert_msg(strstr(error.message, "the name is in use") != NULL, "%s", error.message);
    rig_close(&rig);
}
END_TEST

START_TEST(a_member_says_goodbye)
{
    struct rig rig;

    rig_open(&rig);
    rig_join(&rig);
    register_and_welcome(&rig);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
    member_free(rig.member, "the day is over");
    rig.member = NULL;
    ck_assert_int_eq(played_hear(&rig.played), CAIRN__NODE_MESSAGE__BODY_LEAVE);
    ck_assert_str_eq(rig.played.message->leave->reason, "the day is over");
    rig_close(&rig);
}
END_TEST

START_TEST(a_coordinator_may_come_late)
{
    struct rig rig;

    rig_open(&rig);
    free_endpoint(rig.endpoint);
    rig_join(&rig);
    ck_assert_int_eq(zmq_bind(rig.played.router, rig.endpoint), 0);
    ck_assert_int_eq(next_message(&rig), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    welcome_until_it_beats(&rig);
    rig_close(&rig);
}
END_TEST

START_TEST(a_bad_endpoint_is_invalid)
{
    struct rig rig;
    struct error error = {.message = ""};

    rig_open(&rig);
    ck_assert_int_eq(member_new(rig.context, "nonsense", &rig.registration, &rig.member, &error),
                     CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, "nonsense") != NULL, "%s", error.message);
    ck_assert_ptr_null(rig.member);
    rig_close(&rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("member");
    TCase *tests = tcase_create("member");

    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, a_member_registers_and_sends_heartbeats);
    tcase_add_test(tests, reports_are_no_heartbeats);
    tcase_add_test(tests, silence_for_a_lease_brings_a_registration);
    tcase_add_test(tests, long_silence_brings_a_new_connection);
    tcase_add_test(tests, commands_reach_the_owner_in_order);
    tcase_add_test(tests, a_member_that_is_not_known_registers_at_once);
    tcase_add_test(tests, a_registration_that_was_lost_is_made_again);
    tcase_add_test(tests, a_welcome_to_a_registration_is_the_owners_to_know);
    tcase_add_test(tests, registrations_tell_what_the_node_is_at_work_on);
    tcase_add_test(tests, silence_of_two_heartbeats_is_noticed);
    tcase_add_test(tests, a_connection_that_ends_is_noticed_at_once);
    tcase_add_test(tests, malformed_commands_are_skipped);
    tcase_add_test(tests, a_refusal_ends_it);
    tcase_add_test(tests, a_member_says_goodbye);
    tcase_add_test(tests, a_coordinator_may_come_late);
    tcase_add_test(tests, a_bad_endpoint_is_invalid);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
