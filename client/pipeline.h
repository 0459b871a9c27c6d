/* Pictures on their way from a source through a handle to a report. */
#ifndef CLEAVE_CLIENT_PIPELINE_H
#define CLEAVE_CLIENT_PIPELINE_H

#include <stdbool.h>

#include "client/cleave.h"
#include "client/metrics_file.h"
#include "client/report.h"
#include "client/source.h"

/* What to do. All pointers are borrowed. */
struct cli_pipeline_plan {
    struct cli_source *source;
    struct cleave *handle;
    const char *point; /* as for cleave_submit */
    unsigned deadline_ms;
    unsigned in_flight; /* pictures with the handle at once, at most its
                         * threads */
    bool latest;        /* of live pictures waiting, keep the newest only */
    struct cli_report *report;
    struct cli_metrics *metrics;
    const char *metrics_path; /* where to write them, or NULL */
};

/* Runs the source to its end: one thread reads ahead, the handle's threads
 * answer, this one reports, in the order of the source. Pictures held in
 * memory are bounded. False if some picture got no answer, stdout could not be
 * written, or no thread could be started; the latter two are complained of on
 * stderr. */
bool cli_pipeline_run(const struct cli_pipeline_plan *plan);

#endif
