/* What shards tell each other of sums: any bytes, as parts and totals of an exchange and as what goes with a
 * copy; what is refused changes nothing, and what is taken leaves an exchange that goes on. */
#include "norm_rounds.h"
#include "fuzz.h"

#include <string.h>

#define PIECES  3
#define VERSION 2

static const struct optimizer_spec spec = {.type = OPTIMIZER_LAMB, .clipnorm = 1.0};

static void give(struct norm_rounds *rounds)
{
    const struct optimizer_squares squares = {1.0, 2.0};

    for (uint32_t piece = 0; piece < PIECES; piece++) {
        norm_rounds_begin(rounds, piece);
        norm_rounds_add_trust(rounds, 0, &squares);
        norm_rounds_give(rounds);
    }
    REQUIRE(norm_rounds_settle(rounds));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const struct norm_params params = {.spec = &spec, .piece_count = PIECES};
    struct norm_rounds *rounds = norm_rounds_new(&params, VERSION);
    struct exchange *exchange;
    uint64_t *told = malloc(length + 1), number;
    struct error error;

    if (!rounds || !told)
        abort();
    memcpy(told, bytes, length);
    exchange = norm_rounds_exchange(rounds);
    number = exchange_number(exchange);
    (void)!exchange_take(exchange, number + 1, told, length, &error);
    if (exchange_take(exchange, number, told, length, &error) != CAIRN_OK)
        REQUIRE(!exchange_is_whole(exchange));
    while (norm_rounds_settle(rounds))
        ;
    REQUIRE(exchange_number(exchange) <= number + 2);
    if (norm_rounds_are_known(rounds, VERSION + 1, told, length))
        norm_rounds_take_known(rounds, VERSION + 1, told, length);
    give(rounds);
    norm_rounds_free(rounds);
    free(told);
    return 0;
}
