/* The handlers that routes.c lists. Those called *_begin run when a request's
 * headers are in and may reply to refuse it; the others run when its body is
 * in and always reply. All run in HTTP threads and never block; those that
 * compute or load hand the work to another thread. */
#ifndef CLEAVE_SERVER_HANDLERS_H
#define CLEAVE_SERVER_HANDLERS_H

#include "server/request.h"

void srv_classify_begin(struct srv_request *request);
void srv_classify(struct srv_request *request);
void srv_tail_begin(struct srv_request *request);
void srv_tail(struct srv_request *request);
void srv_encode_begin(struct srv_request *request);
void srv_encode(struct srv_request *request);
void srv_latent_begin(struct srv_request *request);
void srv_latent(struct srv_request *request);

void srv_model_list(struct srv_request *request);
void srv_model_metadata(struct srv_request *request);
void srv_model_labels(struct srv_request *request);
void srv_model_head(struct srv_request *request);

/* Fills what srv_probe_send sends; once, before the server listens. */
void srv_probe_prepare(void);
void srv_probe_send(struct srv_request *request);
void srv_probe_receive(struct srv_request *request);

/* The Open Inference Protocol. */
void srv_oip_server(struct srv_request *request);
void srv_oip_live(struct srv_request *request);
void srv_oip_ready(struct srv_request *request);
void srv_oip_model(struct srv_request *request);
void srv_oip_model_ready(struct srv_request *request);
void srv_oip_infer_begin(struct srv_request *request);
void srv_oip_infer(struct srv_request *request);
void srv_oip_index(struct srv_request *request);
void srv_oip_control_begin(struct srv_request *request);
void srv_oip_load(struct srv_request *request);
void srv_oip_unload(struct srv_request *request);

/* Replies with a refusal, and is false, if no traffic should come here. */
bool srv_reply_unless_ready(struct srv_request *request);

void srv_healthz(struct srv_request *request);
void srv_readyz(struct srv_request *request);
void srv_metrics_text(struct srv_request *request);
void srv_debug_slow(struct srv_request *request);

/* The pages for people, and openapi.yaml: console.c. */
void srv_root(struct srv_request *request);
void srv_docs(struct srv_request *request);
void srv_console_file(struct srv_request *request);
void srv_openapi(struct srv_request *request);

#endif
