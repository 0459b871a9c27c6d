/* Probes of the link that pictures wait for only briefly. */
#ifndef CLEAVE_CLIENT_PROBER_H
#define CLEAVE_CLIENT_PROBER_H

struct cleave;
struct cli_prober;

/* Probes the server in use, and waits for that no longer than `wait_ms`. Then
 * the probe goes on beside pictures, until the next one is begun, and what it
 * finds is learnt when it comes. Needs the handle's lock, which it lets go, and
 * one caller at a time. */
void cli_prober_probe(struct cleave *handle, double wait_ms);

/* Calls off the probe under way and frees. The handle's lock is not held. NULL
 * is fine. */
void cli_prober_close(struct cli_prober **prober);

#endif
