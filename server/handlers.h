/* The handlers that routes.c lists. Those called *_begin run when a request's
 * headers are in and may reply to refuse it; the others run when its body is
 * in and always reply. All run in HTTP threads and never block; srv_infer_*
 * hand the work to a worker. */
#ifndef CLEAVE_SERVER_HANDLERS_H
#define CLEAVE_SERVER_HANDLERS_H

#include "server/request.h"

void srv_classify_begin(struct srv_request *request);
void srv_classify(struct srv_request *request);
void srv_tail_begin(struct srv_request *request);
void srv_tail(struct srv_request *request);

void srv_model_list(struct srv_request *request);
void srv_model_metadata(struct srv_request *request);
void srv_model_labels(struct srv_request *request);
void srv_model_head(struct srv_request *request);

/* Fills what srv_probe_send sends; once, before the server listens. */
void srv_probe_prepare(void);
void srv_probe_send(struct srv_request *request);
void srv_probe_receive(struct srv_request *request);

void srv_pointer(struct srv_request *request);
void srv_healthz(struct srv_request *request);
void srv_readyz(struct srv_request *request);
void srv_metrics_text(struct srv_request *request);
void srv_openapi(struct srv_request *request);

#endif
