//! What needs the operating system directly: epoll, sockets, limits. The only unsafe code.
