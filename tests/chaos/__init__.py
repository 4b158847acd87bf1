"""The rehearsal of failures: scenarios, the vendors' SDKs and raw sockets as clients, and a real gateway process between them."""
