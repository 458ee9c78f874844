/**
 * Persistent transactional message queues that replicate, transact and prove where a transaction is.
 *
 * <p>{@link repliq.Store#open} is where everything begins.
 */
package repliq;
