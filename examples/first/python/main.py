"""The first program: two orders, a clerk who writes invoices, and the proof that she is through.

Usage: main.py [DIRECTORY]
"""

# ANCHOR: program
import sys

import repliq

directory = sys.argv[1] if len(sys.argv) > 1 else "shop"
with repliq.open(directory) as store:
    orders, invoices = store.queue("orders"), store.queue("invoices")
    with store.session() as session, store.consumer("clerk", orders) as clerk:
        # Both orders or neither. When commit returns, they survive a power cut.
        session.put(orders, b"one pound of tea")
        session.put(orders, b"two pounds of sugar")
        ordered = session.commit()

        # The clerk takes the orders and writes invoices in one transaction: each order is invoiced once.
        for order in session.receive(clerk, 64, timeout=1):
            print(order.sequence, order.payload.decode())
            session.put(invoices, b"invoice: " + order.payload)
        session.commit()

    # A token says where a transaction is: this one has been handled by the clerk.
    store.wait(ordered.token, at="consumer:clerk", timeout=10)
    print("the clerk has taken everything")
# ANCHOR_END: program
