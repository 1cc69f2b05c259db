/**
 * Version of the three programs: that of the package, which a test compares with this one.
 * Sans-I/O.
 */

export const PRODUCT_VERSION = '0.1.0';
