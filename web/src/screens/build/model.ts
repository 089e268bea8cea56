import { request } from "../../api/request";
import { graphql } from "../../gql";

const MODEL = graphql(`
	query ModelToTrain($name: String!) {
		model(name: $name) {
			id
		}
	}
`);

const CREATE = graphql(`
	mutation CreateModel($input: CreateModelInput!) {
		createModel(input: $input) {
			model {
				id
			}
		}
	}
`);

/** The global id of the model of a name, which is registered if there is none. */
export async function modelOf(name: string): Promise<string> {
	const known = (await request(MODEL, { name })).model;
	return (known ?? (await request(CREATE, { input: { name, description: "", tags: [] } })).createModel.model).id;
}
