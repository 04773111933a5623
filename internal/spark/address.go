package spark

// Address is the server that a URL leads to, as sc://host:port: without its
// parameters, of which one may be a token.
func Address(url string) (string, error) {
	t, err := Config{URL: url}.target()
	if err != nil {
		return "", err
	}
	return "sc://" + t.address, nil
}
