/* What the process that started this one is told: systemd, or another that
 * speaks its protocol (sd_notify(3)). */
#ifndef CLEAVE_SERVER_SUPERVISOR_H
#define CLEAVE_SERVER_SUPERVISOR_H

/* Each is one datagram to $NOTIFY_SOCKET; without that they do nothing. A
 * supervisor that is gone is no reason to fail. */
void srv_supervisor_ready(void);
void srv_supervisor_reloading(void); /* until the next "ready" */
void srv_supervisor_stopping(void);
void srv_supervisor_alive(void); /* for its watchdog */

/* How often it wants to hear srv_supervisor_alive, in milliseconds: half of
 * $WATCHDOG_USEC, as sd_watchdog_enabled(3) recommends. `most_ms` if there is
 * no watchdog, or a more patient one. */
unsigned srv_supervisor_interval_ms(unsigned most_ms);

#endif
