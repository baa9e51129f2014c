module github.com/etcd-operator/etcd-operator/hack/etcd-options

go 1.21
