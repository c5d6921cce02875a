/* SPDX-License-Identifier: GPL-2.0-only */
/* /sys/kernel/debug/storvsc/hostN/channels: counters of each channel, and a histogram of latencies.
 */
#include <linux/debugfs.h>
#include <linux/log2.h>
#include <linux/seq_file.h>

#include "guest/storvsc/storvsc.h"

static struct dentry *top;

void storvsc_stats_latency(struct storvsc_counts *counts, u64 ns)
{
	u64 us = div_u64(ns, 1000);
	unsigned int bucket = us ? ilog2(us) + 1 : 0;

	counts->latency[min(bucket, STORVSC_HISTOGRAM - 1)]++;
}

static void show_counts(struct seq_file *out, const struct storvsc_counts *c)
{
	seq_printf(out, "  sent %llu polled %llu doorbells %llu ring_full %llu\n", c->sent,
		c->polled, c->doorbells, c->ring_full);
	seq_printf(out, "  completed %llu errors %llu interrupts %llu events %llu\n", c->completed,
		c->errors, c->interrupts, c->events);
	seq_printf(out, "  stray %llu invalid %llu\n", c->stray, c->invalid);
}

static void show_latency(struct seq_file *out, const struct storvsc_counts *c)
{
	unsigned int i;

	seq_puts(out, "  latency_us");
	for (i = 0; i < STORVSC_HISTOGRAM; i++)
		if (c->latency[i])
			seq_printf(out, " <%u:%llu", 1u << i, c->latency[i]);
	seq_putc(out, '\n');
}

static int channels_show(struct seq_file *out, void *unused)
{
	const struct storvsc *s = out->private;
	unsigned int i;

	for (i = 0; i < s->chan_count; i++) {
		const struct storvsc_chan *chan = s->chans[i];

		seq_printf(out, "channel %u cpu %u in_flight %u polled_in_flight %u\n", i,
			READ_ONCE(chan->cpu), atomic_read(&chan->in_flight),
			atomic_read(&chan->polled_in_flight));
		show_counts(out, &chan->counts);
		show_latency(out, &chan->counts);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(channels);

void storvsc_stats_add(struct storvsc *s)
{
	char name[16];

	snprintf(name, sizeof(name), "host%u", s->host->host_no);
	s->debugfs = debugfs_create_dir(name, top);
	debugfs_create_file("channels", 0400, s->debugfs, s, &channels_fops);
}

void storvsc_stats_remove(struct storvsc *s)
{
	debugfs_remove_recursive(s->debugfs);
}

void storvsc_stats_module_init(void)
{
	top = debugfs_create_dir("storvsc", NULL);
}

void storvsc_stats_module_exit(void)
{
	debugfs_remove_recursive(top);
}
