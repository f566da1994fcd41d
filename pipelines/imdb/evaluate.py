def test_rows(folder): raise NotImplementedError
