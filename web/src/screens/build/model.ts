import { request } from "../../api/request";
import { graphql } from "../../gql";

const MODEL = graphql(`
	query ModelToTrain($name: String!) {
		model(name: $name) {
			id
		}
	}
`);

/** The fields of an input that choose the model of a name. One that does not exist is created together with its version. */
export async function modelOf(name: string) {
	const known = (await request(MODEL, { name })).model;
	return known ? { modelId: known.id } : { newModel: { name } };
}
