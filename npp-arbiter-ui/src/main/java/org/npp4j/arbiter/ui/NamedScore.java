package org.npp4j.arbiter.ui;

import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.deeplearning4j.arbiter.optimize.api.data.DataProvider;
import org.deeplearning4j.arbiter.optimize.api.data.DataSource;
import org.deeplearning4j.arbiter.optimize.api.score.ScoreFunction;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/** The name of a score, as JSON. */
record NamedScore(@JsonProperty("name") String name) implements ScoreFunction {
    @JsonCreator
    NamedScore {}

    @Override
    @Deprecated
    public double score(Object model, DataProvider data, Map<String, Object> parameters) {
        throw new UnsupportedOperationException("This is the name of a score");
    }

    @Override
    public double score(Object model, Class<? extends DataSource> data, Properties properties) {
        throw new UnsupportedOperationException("This is the name of a score");
    }

    @Override
    public boolean minimize() {
        return true;
    }

    @Override
    public List<Class<?>> getSupportedModelTypes() {
        return List.of();
    }

    @Override
    public List<Class<?>> getSupportedDataTypes() {
        return List.of();
    }

    @Override
    public String toString() {
        return name;
    }
}
