/* SPDX-License-Identifier: MIT */
/*
 * The NICs of a VM. They outlive boots, also those that were added while a guest
 * ran; a guest is offered them from network_attach() to network_detach().
 *
 *   NONE --add--> PRESENT --remove--> QUIESCING --the guest sends nothing--> RESCINDED
 *    ^                                    |                                     |
 *    |                                    | the guest is gone                   | released, or
 *    |                                    v                                     v gone
 *    +---------- back end closed ------ CLOSING <-------------------------------+
 *
 * Removal: see netvsp_quiesce(). The guest may take NETWORK_RELEASE_S for RESCINDED; then its
 * channels are closed all the same and the change ends with an error, but the number and the back
 * end stay taken until the guest releases the NIC, or resets. A pause stops that clock.
 *
 * Thread: control.
 */
#ifndef VM_NETWORK_H
#define VM_NETWORK_H

#include "base/archive.h"
#include "base/inspect.h"
#include "config/config.h"
#include "nic/nic.h"
#include "vm/device_group.h"

struct network;

#define NETWORK_RELEASE_S 30u

/* The end of a removal. e: NULL, or why the NIC is not gone. */
struct network_change {
	void (*done)(void *ctx, const struct err *e); /* NULL: no callback */
	void *ctx;
};

enum network_state {
	NETWORK_NONE,
	NETWORK_PRESENT,
	NETWORK_QUIESCING,
	NETWORK_RESCINDED,
	NETWORK_CLOSING,
};
extern const char *const network_state_names[];

struct network_nic {
	struct network *network;
	uint32_t number; /* its ID is "nic" and this */
	enum network_state state;
	struct nic_config config;
	uint8_t mac[6];
	bool link;          /* the cable is in */
	uint64_t speed_bps; /* 0: the back end's */
	struct nic *nic;    /* NULL: NONE, CLOSING */
	struct vm_device device;
	struct network_change change;
	struct loop_timer timer; /* RESCINDED */
	uint32_t waited_s;
};

struct network {
	struct loop *control;
	const char *name; /* of the VM; NULL: it has none */
	uint32_t queues;  /* of a back end, unless its NIC says how many */
	struct network_nic nics[VM_NICS_MAX];
	uint32_t open;         /* back ends */
	bool closing;          /* network_close() waits for them */
	struct vsp_host *host; /* NULL: no guest */
	bool paused;
	bool monitored;     /* a NIC was configured with "monitor", so all are offered so */
	uint64_t tick_ns;   /* of netvsp_quiesce(); tests make it shorter */
	uint32_t release_s; /* NETWORK_RELEASE_S; tests make it shorter */
	struct device_group devices; /* the NICs that are offered */
};

/* Opens the NICs of the options, which outlive the network. network_close() also after a failure.
 */
int network_open(struct network *n, struct loop *control, const struct vm_config *o, struct err *e);
/* No loop runs any more; the control loop is run until the NICs are closed. */
void network_close(struct network *n);

/* A new guest. network_detach() also after a failure. */
int network_attach(struct network *n, struct vsp_host *host, struct err *e);
/* The guest's bus is shut down. */
void network_detach(struct network *n);

/* paused(ctx) when no NIC touches guest memory any more, possibly before this returns. */
void network_pause(struct network *n, void (*paused)(void *ctx), void *ctx);
/* Also before paused() came: then it is not called any more. */
void network_resume(struct network *n);
/* One line in e: which NICs are not at rest. */
void network_name_busy(const struct network *n, struct err *e);

/* network_save.c. Between network_pause() and network_resume(). */
#define NIC_MAC_TEXT 18u
/* The configuration of all NICs there are now: at most VM_NICS_MAX; copies that own nothing, with
 * their addresses in macs. */
uint32_t network_configs(
	const struct network *n, struct nic_config *configs, char (*macs)[NIC_MAC_TEXT]);
/* What was changed at run time; reading fails unless the same NICs are there. */
void network_archive(struct network *n, struct archive *a);

/* Changes. Only network_add() and the last three are allowed without a guest, too.
 * network_add() takes config over, also after an error; the guest finds the NIC by itself. */
int network_add(struct network *n, struct nic_config *config, uint32_t *number, struct err *e);
/* 0: change->done runs later, or before this returns; else never. number < VM_NICS_MAX. */
int network_remove(
	struct network *n, uint32_t number, const struct network_change *change, struct err *e);
int network_set_link(struct network *n, uint32_t number, bool up, struct err *e);
int network_set_speed(struct network *n, uint32_t number, uint64_t bps, struct err *e);
/* For guest drivers that connect from now on. */
int network_set_mtu(struct network *n, uint32_t number, uint32_t mtu, struct err *e);

/* Members of the array "devices". */
void network_inspect(const struct network *n, struct inspect *i);

#endif
