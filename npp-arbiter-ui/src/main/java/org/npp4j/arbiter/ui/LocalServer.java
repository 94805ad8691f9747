package org.npp4j.arbiter.ui;

import io.vertx.core.Vertx;
import io.vertx.core.http.HttpServer;
import io.vertx.ext.web.Router;
import io.vertx.ext.web.RoutingContext;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.deeplearning4j.ui.api.HttpMethod;
import org.deeplearning4j.ui.api.Route;

/**
 * Serves the routes of a module of Deeplearning4j's UI on the loopback address: Deeplearning4j's own server listens on every
 * address that the machine has, and cannot be told otherwise.
 */
final class LocalServer implements AutoCloseable {
    private static final String LOOPBACK = "127.0.0.1";
    private static final Pattern PARAMETER = Pattern.compile(":([A-Za-z]+)");

    private final Vertx vertx;
    private final HttpServer server;

    LocalServer(int port, List<Route> routes) throws IOException {
        vertx = Vertx.vertx();
        Router router = Router.router(vertx);
        for (Route route : routes) {
            if (route.getHttpMethod() != HttpMethod.GET) {
                throw new IllegalArgumentException("Only GET is served, not " + route);
            }
            List<String> names = new ArrayList<>();
            Matcher parameter = PARAMETER.matcher(route.getRoute());
            while (parameter.find()) {
                names.add(parameter.group(1));
            }
            router.get(route.getRoute())
                    .handler(context -> route.getConsumer().accept(values(names, context), context));
        }
        CompletableFuture<HttpServer> listening = new CompletableFuture<>();
        vertx.createHttpServer().requestHandler(router).listen(port, LOOPBACK, result -> {
            if (result.succeeded()) {
                listening.complete(result.result());
            } else {
                listening.completeExceptionally(result.cause());
            }
        });
        try {
            server = listening.get();
        } catch (ExecutionException e) {
            vertx.close();
            throw new IOException(
                    "The port " + port + " of " + LOOPBACK + " cannot be had: "
                            + e.getCause().getMessage(),
                    e.getCause());
        } catch (InterruptedException e) {
            vertx.close();
            Thread.currentThread().interrupt();
            throw new IOException("Interrupted before the server was up", e);
        }
    }

    private static List<String> values(List<String> names, RoutingContext context) {
        return names.stream().map(context::pathParam).toList();
    }

    int port() {
        return server.actualPort();
    }

    @Override
    public void close() {
        CompletableFuture<Void> closed = new CompletableFuture<>();
        vertx.close(result -> closed.complete(null));
        closed.join();
    }
}
