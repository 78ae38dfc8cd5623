-- All sound prices. Grain: one row per asset and date.
CREATE TABLE crypto_prices (
    asset VARCHAR NOT NULL,
    date DATE NOT NULL,
    price DOUBLE NOT NULL,
    volume DOUBLE NOT NULL,
    marketCap DOUBLE NOT NULL
);
