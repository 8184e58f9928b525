"""Attribution: estimates of what patching a node or an edge would do, by gradients."""
