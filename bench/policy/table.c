/* What a replay prints: a row a trace, and the figures with their targets. */
#include "bench/policy/table.h"

#define LATENCY_RATIO_MOST 1.10
#define MORE_MISSES_MOST 2.0
#define ACCURACY_SHARE_LEAST 0.98
#define PROBE_SHARE_MOST 0.01
#define POOR 1.1

static const char *const names[RIVALS] = {
    "auto", "oracle", "late oracle", "best fixed", "offload", "local", "paper"};

const char *table_rival_name(int rival)
{
    return names[rival];
}

void table_begin(struct table *table, double deadline_ms)
{
    FILE *json = table->json;
    bool any = table->any_figure, is_poor = table->is_poor;
    double bytes = table->bytes, probe_bytes = table->probe_bytes;
    *table = (struct table){.json = json,
                            .any_figure = any,
                            .is_poor = is_poor,
                            .deadline_ms = deadline_ms,
                            .bytes = bytes,
                            .probe_bytes = probe_bytes};
    if (deadline_ms > 0)
        printf("\ndeadline %.0f ms: misses in %%, and accuracy in time in %%\n",
               deadline_ms);
    else
        printf("\nno deadline: mean latency in ms, and its ratio to the "
               "oracle's\n");
    printf("%-32s", "trace");
    for (int i = 0; i < RIVALS; i++) {
        if (i != PAPER || deadline_ms > 0)
            printf(" %12s", names[i]);
    }
    putchar('\n');
}

static void print_cell(const struct table *table, double pictures,
                       double latency_ms, double oracle_ms, double misses,
                       double accuracy)
{
    if (table->deadline_ms > 0)
        printf("  %5.1f %5.1f", 100 * misses / pictures,
               100 * accuracy / pictures);
    else
        printf("  %6.0f %4.2f", latency_ms / pictures, latency_ms / oracle_ms);
}

static void print_figure(struct table *table, const char *name, double value,
                         const char *unit, double target, bool met)
{
    printf("  %-44s %8.4f %-8s target %g: %s\n", name, value, unit, target,
           met ? "met" : "missed");
    if (!table->json)
        return;
    fprintf(table->json,
            "%s\n  {\"name\": \"%s\", \"value\": %.5f, \"unit\": \"%s\", "
            "\"target\": %g, \"met\": %s}",
            table->any_figure ? "," : "[", name, value, unit, target,
            met ? "true" : "false");
    table->any_figure = true;
}

/* The figures of one aim over all traces. */
static void print_figures(struct table *table)
{
    char name[64];
    if (!(table->deadline_ms > 0)) {
        double ratio = table->latency_ms[AUTO] / table->latency_ms[ORACLE];
        print_figure(table, "policy.latency_to_oracle", ratio, "ratio",
                     LATENCY_RATIO_MOST, ratio <= LATENCY_RATIO_MOST);
        return;
    }
    double more =
        100 * (table->misses[AUTO] - table->misses[ORACLE]) / table->pictures;
    snprintf(name, sizeof name, "policy.misses_beyond_oracle.%.0f_ms",
             table->deadline_ms);
    print_figure(table, name, more, "points", MORE_MISSES_MOST,
                 more <= MORE_MISSES_MOST);
    double share = table->accuracy[AUTO] / table->accuracy[ORACLE];
    snprintf(name, sizeof name, "policy.accuracy_to_oracle.%.0f_ms",
             table->deadline_ms);
    print_figure(table, name, share, "ratio", ACCURACY_SHARE_LEAST,
                 share >= ACCURACY_SHARE_LEAST);
}

void table_row(struct table *table, const struct trace *trace,
               const struct outcome outcomes[RIVALS])
{
    double pictures = (double)outcomes[AUTO].pictures;
    printf("%-32s", trace->name);
    for (int i = 0; i < RIVALS; i++) {
        const struct outcome *outcome = &outcomes[i];
        if (outcome->pictures == 0)
            continue;
        print_cell(table, pictures, outcome->latency_ms_sum,
                   outcomes[ORACLE].latency_ms_sum, (double)outcome->misses,
                   outcome->accuracy_sum);
        table->latency_ms[i] += outcome->latency_ms_sum;
        table->misses[i] += (double)outcome->misses;
        table->accuracy[i] += outcome->accuracy_sum;
    }
    putchar('\n');
    table->pictures += pictures;
    table->bytes += outcomes[AUTO].bytes;
    table->probe_bytes += outcomes[AUTO].probe_bytes;
}

void table_end(struct table *table)
{
    printf("%-32s", "all");
    for (int i = 0; i < RIVALS; i++) {
        if (i != PAPER || table->deadline_ms > 0)
            print_cell(table, table->pictures, table->latency_ms[i],
                       table->latency_ms[ORACLE], table->misses[i],
                       table->accuracy[i]);
    }
    putchar('\n');
    print_figures(table);
    bool quick_enough =
        table->latency_ms[AUTO] <= POOR * table->latency_ms[LATE_ORACLE];
    bool right_enough =
        table->accuracy[LATE_ORACLE] <= POOR * table->accuracy[AUTO];
    if (!(table->deadline_ms > 0 ? right_enough : quick_enough))
        table->is_poor = true;
}

bool table_close(struct table *table)
{
    double share = table->probe_bytes / table->bytes;
    putchar('\n');
    print_figure(table, "policy.probe_bytes", share, "ratio", PROBE_SHARE_MOST,
                 share <= PROBE_SHARE_MOST);
    if (!table->json)
        return fflush(stdout) == 0;
    fputs("\n]\n", table->json);
    bool written = !ferror(table->json);
    written = fclose(table->json) == 0 && written;
    table->json = NULL;
    return written && fflush(stdout) == 0;
}
