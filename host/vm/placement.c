/* SPDX-License-Identifier: MIT */
#include "vm/placement.h"

#include <string.h>

#include "base/log.h"
#include "base/numa.h"

/* Of all devices so far. */
struct choice {
	const char *sys;
	int node; /* NUMA_NONE: none has one */
	bool differ;
};

static void add_node(struct choice *c, int node)
{
	if (node == NUMA_NONE)
		return;
	c->differ |= c->node != NUMA_NONE && c->node != node;
	c->node = node;
}

static void add_disk(struct choice *c, const struct disk_config *d)
{
	const struct schema_value *source = &d->device.source;

	for (const struct schema_key *key = schema_keys(source->schema); key->name; key++) {
		const char *const *name = schema_field_const(key, source->object);

		if (key->type == &schema_file && *name)
			add_node(c, numa_of_file(c->sys, *name));
	}
}

static void add_nic(struct choice *c, const struct nic_config *n)
{
	struct nic_config_stack s;
	struct err e;

	if (nic_config_stack(&s, n, &e))
		return; /* said when it is opened */
	if (!strcmp(s.stack.type->name, "tap"))
		add_node(c, numa_of_interface(c->sys, s.stack.argument));
	nic_config_stack_free(&s);
}

/* Of the node's CPUs, those that we may use. */
static bool find_cpus(const char *sys, int node, cpu_set_t *cpus)
{
	cpu_set_t ours;

	if (numa_cpus(sys, node, cpus) || sched_getaffinity(0, sizeof(ours), &ours))
		return false;
	CPU_AND(cpus, cpus, &ours);
	return CPU_COUNT(cpus);
}

void placement_choose(struct vm_config *config, const char *sys)
{
	struct choice c = {.sys = sys, .node = NUMA_NONE};

	config->io_placed = false;
	if (numa_count(sys) < 2)
		return;
	for (uint32_t i = 0; i < config->disk_count; i++)
		add_disk(&c, &config->disks[i]);
	for (uint32_t i = 0; i < config->nic_count; i++)
		add_nic(&c, &config->nics[i]);
	if (c.node == NUMA_NONE || c.differ || !find_cpus(sys, c.node, &config->io_cpus))
		return;
	config->io_placed = true;
	config->io_node = (unsigned)c.node;
	log_info("I/O threads run on NUMA node %d, where the VM's devices are", c.node);
}
