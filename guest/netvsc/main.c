/* SPDX-License-Identifier: GPL-2.0-only */
/* netvsc.ko: from an offer of the bus to a net_device, and the end of it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/mod_devicetable.h>

#include "guest/netvsc/netvsc.h"

#define CREATE_TRACE_POINTS
#include "guest/netvsc/trace.h"

#define CHANNELS_DEFAULT 16u
#define RECV_BYTES       (16u << 20)
#define SEND_BYTES_MIN   (1u << 20)
#define SEND_BYTES_MAX   (8u << 20)
#define SEND_BYTES_CHAN  (512u << 10)

static unsigned int channels;
module_param(channels, uint, 0444);
MODULE_PARM_DESC(channels, "Channels of a NIC at first (0: one for each CPU, at most 16)");

/* ---- a NIC --------------------------------------------------------------- */

static void choose_setup(struct netvsc *n)
{
	unsigned int wanted = channels ? channels : min(num_online_cpus(), CHANNELS_DEFAULT);

	n->setup.mtu = ETH_DATA_LEN;
	n->setup.channels = min(wanted, n->chan_max);
	n->setup.recv_bytes = RECV_BYTES;
	n->setup.send_bytes =
		clamp(n->setup.channels * SEND_BYTES_CHAN, SEND_BYTES_MIN, SEND_BYTES_MAX);
	n->rss.udp4 = n->rss.udp6 = true;
	netdev_rss_key_fill(n->rss.key, sizeof(n->rss.key));
}

static void free_nic(struct netvsc *n)
{
	unsigned int i;

	for (i = 0; i < n->chan_max; i++)
		netvsc_chan_free(n->chans[i]);
	netvsc_control_end(n);
	free_netdev(n->ndev);
}

static int create_channels(struct netvsc *n)
{
	unsigned int i;

	for (i = 0; i < n->chan_max; i++) {
		n->chans[i] = netvsc_chan_create(n, i);
		if (!n->chans[i])
			return -ENOMEM;
	}
	return 0;
}

static struct netvsc *create_nic(struct vsc_device *device)
{
	unsigned int chans = min(num_possible_cpus(), NETVSC_CHANNELS_MAX);
	struct net_device *ndev = alloc_etherdev_mqs(sizeof(struct netvsc), chans, chans);
	struct netvsc *n;

	if (!ndev)
		return NULL;
	n = netdev_priv(ndev);
	n->ndev = ndev;
	n->device = device;
	n->chan_max = chans;
	mutex_init(&n->chans_lock);
	init_completion(&n->chans_there);
	netvsc_link_init(n);
	if (netvsc_control_init(n) || create_channels(n)) {
		free_nic(n);
		return NULL;
	}
	choose_setup(n);
	SET_NETDEV_DEV(ndev, device->dev);
	device->data = n;
	return n;
}

static int add_netdev(struct netvsc *n)
{
	struct net_device *ndev = n->ndev;

	ndev->netdev_ops = &netvsc_netdev_ops;
	ndev->ethtool_ops = &netvsc_ethtool_ops;
	ndev->needed_headroom = NETVSC_HEADER_MAX;
	ndev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	ndev->min_mtu = ETH_MIN_MTU;
	ndev->max_mtu = NETVSC_MTU_MAX;
	ndev->mtu = n->setup.mtu = n->conn.mtu;
	eth_hw_addr_set(ndev, n->conn.mac);
	netvsc_set_features(n);
	netif_carrier_off(ndev);
	return register_netdev(ndev);
}

static int netvsc_probe(struct vsc_device *device)
{
	struct netvsc *n = create_nic(device);
	int err;

	if (!n)
		return -ENOMEM;
	err = netvsc_connect(n);
	if (!err)
		err = add_netdev(n);
	if (!err)
		return 0;
	dev_err(device->dev, "no NIC: error %d\n", err);
	netvsc_disconnect(n);
	netvsc_link_end(n); /* a device that could not stay registered was one for a moment */
	free_nic(n);
	return err;
}

static void netvsc_remove(struct vsc_device *device)
{
	struct netvsc *n = device->data;

	unregister_netdev(n->ndev);
	netvsc_disconnect(n);
	netvsc_link_end(n);
	if (rcu_access_pointer(n->xdp))
		bpf_prog_put(rcu_dereference_protected(n->xdp, 1));
	free_nic(n);
}

static void netvsc_retargeted(struct vsc_channel *vsc)
{
	struct netvsc_chan *chan = vsc->data;

	WRITE_ONCE(chan->cpu, vsc_cpu(vsc));
}

/* ---- module -------------------------------------------------------------- */

static const struct hv_guid classes[] = {VMBUS_GUID_NIC};

static struct vsc_driver netvsc_driver = {
	.name = "netvsc",
	.owner = THIS_MODULE,
	.classes = classes,
	.class_count = ARRAY_SIZE(classes),
	.probe = netvsc_probe,
	.remove = netvsc_remove,
	.sub_channel = netvsc_sub_channel,
	.retargeted = netvsc_retargeted,
};

/* For udev and modprobe: the class of NICs. */
static const struct hv_vmbus_device_id __maybe_unused netvsc_ids[] = {
	{.guid = GUID_INIT(
		 0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e)},
	{},
};
MODULE_DEVICE_TABLE(vmbus, netvsc_ids);

static int __init netvsc_init(void)
{
	return vsc_driver_register(&netvsc_driver);
}

static void __exit netvsc_exit(void)
{
	vsc_driver_unregister(&netvsc_driver);
}

module_init(netvsc_init);
module_exit(netvsc_exit);
MODULE_DESCRIPTION("Synthetic NICs of Hyper-V hosts");
MODULE_AUTHOR("The Enlite authors");
MODULE_LICENSE("GPL");
