/* Cleave's own decider in a replay. */
#include "bench/policy/ledger.h"
#include "client/simulate/pilot.h"

bool rival_auto(const struct world *world, const struct rules *rules,
                struct outcome *outcome)
{
    static struct pilot pilot;
    const struct pilot_order order = {.objective = CLI_LATENCY,
                                      .deadline_ms = rules->deadline_ms,
                                      .power = CLI_POWER_DEFAULT,
                                      .kind = -1,
                                      .point = -1};
    struct ledger ledger;
    if (!ledger_open(&ledger, world, rules, outcome))
        return false;
    pilot_reset(&pilot, world, &order, 1);
    while (outcome->pictures < world->picture_count) {
        if (pilot_begin(&pilot, outcome->pictures, ledger_due_ms(&ledger),
                        ledger_start_ms(&ledger))) {
            if (pilot_waits_for(&pilot, pilot.passage.queue_ms))
                pilot_answered(&pilot, pilot.passage.queue_ms);
            else
                pilot_gave_up(&pilot);
        }
        ledger_enter(&ledger, pilot.point, pilot.now_ms);
    }
    outcome->bytes = pilot.bytes;
    outcome->probe_bytes = pilot.probe_bytes;
    return true;
}
