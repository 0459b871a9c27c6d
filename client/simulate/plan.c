/* What one way of answering means for a fleet: figures, cores, money. */
#include "client/simulate/plan.h"

#include <math.h>
#include <stdlib.h>

#include "client/sort.h"

#define MS_A_DAY 86400000.0
#define HOURS_A_DAY 24.0
#define BYTES_A_GIGABYTE 1e9

/* How much larger the server gets from one try to the next. */
#define CORES_STEP 1.1

/* Nearest rank of sorted values; -1 if there are none. */
static double quantile(const float *sorted, uint64_t count, double share)
{
    if (count == 0)
        return -1;
    double rank = ceil(share * (double)count);
    return (double)sorted[rank < 1 ? 0 : (uint64_t)rank - 1];
}

static void describe_waits(struct fleet_result *result,
                           struct plan_figures *figures)
{
    cli_sort_floats(result->wait_ms, result->served);
    figures->wait_p50_ms = quantile(result->wait_ms, result->served, 0.50);
    figures->wait_p95_ms = quantile(result->wait_ms, result->served, 0.95);
    figures->wait_p99_ms = quantile(result->wait_ms, result->served, 0.99);
}

static bool describe_latencies(const struct fleet_result *result,
                               struct plan_figures *figures)
{
    float *sorted = fleet_sorted_latencies(result);
    uint64_t count = result->answered;
    double sum = 0;
    if (!sorted)
        return false;
    for (uint64_t i = 0; i < result->pictures; i++) {
        if (result->point[i] == FLEET_DROPPED)
            continue;
        sum += (double)result->latency_ms[i];
        figures->shares[result->point[i]] += 1 / (double)result->answered;
    }
    figures->mean_ms = count > 0 ? sum / (double)count : -1;
    figures->p50_ms = quantile(sorted, count, 0.50);
    figures->p95_ms = quantile(sorted, count, 0.95);
    figures->p99_ms = quantile(sorted, count, 0.99);
    free(sorted);
    return true;
}

static void describe_costs(const struct plan *plan,
                           const struct fleet_result *result,
                           struct plan_figures *figures)
{
    double days = result->span_ms / MS_A_DAY;
    double devices = plan->fleet.devices;
    figures->bytes_per_day = result->bytes / devices / days;
    figures->compute_price = figures->traffic_price = -1;
    if (plan->core_hour_price >= 0)
        figures->compute_price = plan->core_hour_price * figures->cores *
                                 HOURS_A_DAY * PLAN_DAYS_A_MONTH;
    if (plan->gigabyte_price >= 0)
        figures->traffic_price = plan->gigabyte_price * devices *
                                 figures->bytes_per_day * PLAN_DAYS_A_MONTH /
                                 BYTES_A_GIGABYTE;
}

static void describe(const struct plan *plan, const struct fleet_result *result,
                     struct plan_figures *figures)
{
    double pictures = (double)result->pictures;
    double answered = (double)result->answered;
    double sent = fmax((double)result->sent, 1);
    figures->missed = (double)result->misses / pictures;
    figures->dropped = 1 - answered / pictures;
    figures->top1 = result->top1_sum / answered;
    figures->top1_in_time = result->top1_in_time_sum / answered;
    for (uint16_t i = 0; i < plan->fleet.world->point_count; i++) {
        if (figures->shares[i] > 0 && plan->fleet.world->points[i].top1 < 0)
            figures->top1 = figures->top1_in_time = -1;
    }
    figures->bytes_per_picture = result->bytes / pictures;
    figures->probe_share =
        result->bytes > 0 ? result->probe_bytes / result->bytes : 0;
    figures->joules_per_picture = result->joules / pictures;
    figures->requests_per_s =
        (double)result->requests / (result->span_ms / 1000);
    figures->load = result->busy_ms / result->span_ms;
    figures->refused = (double)result->refused / sent;
    figures->given_up = (double)result->given_up / sent;
    describe_costs(plan, result, figures);
}

/* Runs the fleet with this many cores; *suffice: nobody waits too long. */
static bool try_cores(const struct plan *plan, uint32_t cores,
                      struct plan_figures *figures, struct fleet_result *result)
{
    struct fleet fleet = plan->fleet;
    fleet.cores = cores;
    if (!fleet_run(&fleet, result))
        return false;
    *figures = (struct plan_figures){.cores = cores};
    describe_waits(result, figures);
    figures->cores_suffice =
        result->refused == 0 && figures->wait_p95_ms <= plan->wait_ms;
    return true;
}

/* The smallest number that suffices, from those busy on average upwards. */
static bool find_cores(const struct plan *plan, struct plan_figures *figures,
                       struct fleet_result *result)
{
    if (!try_cores(plan, UINT32_MAX, figures, result))
        return false;
    double busy = result->busy_ms / result->span_ms;
    if (result->requests == 0) {
        figures->cores = 0;
        return true;
    }
    uint32_t cores = (uint32_t)fmin(fmax(ceil(busy), 1), FLEET_CORES_MOST);
    for (;;) {
        fleet_result_free(result);
        if (!try_cores(plan, cores, figures, result))
            return false;
        if (figures->cores_suffice || cores == FLEET_CORES_MOST)
            return true;
        double next = fmax(cores + 1.0, floor(CORES_STEP * cores));
        cores = (uint32_t)fmin(next, FLEET_CORES_MOST);
    }
}

bool plan_run(const struct plan *plan, struct plan_figures *figures,
              struct fleet_result *result)
{
    uint32_t cores = plan->fleet.cores;
    bool ran = cores > 0 ? try_cores(plan, cores, figures, result)
                         : find_cores(plan, figures, result);
    if (!ran)
        return false;
    if (!describe_latencies(result, figures)) {
        fleet_result_free(result);
        return false;
    }
    describe(plan, result, figures);
    return true;
}
